"""The chart of the README, in both languages, of the measured tables of docs/doctor/healed.md and docs/speed.md.

Run: python -m website.chart docs/pictures
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from website.chart_words import CHINESE, ENGLISH, Words

_DOCS = Path(__file__).parents[1] / "docs"
_WIDTH, _ROW, _TOP = 880, 19, 62
_STYLE = """\
text { fill: #24292f } .title { font-size: 14px; font-weight: 600 }
.faint { fill: #59636e } .axis { stroke: #d1d9e0 } .link { stroke: #8c959f; stroke-width: 2 }
.sick { fill: #c4432b } .healed { fill: #00796b } .bar { fill: #00796b } .spread { stroke: #24292f; stroke-width: 1.2 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .faint { fill: #9198a1 } .axis { stroke: #3d444d } .link { stroke: #656c76 }
.sick { fill: #ff7b61 } .healed, .bar { fill: #4db6ac } .spread { stroke: #e6edf3 } }"""


class Healed(NamedTuple):
    """A broken model: what broke it, and its test accuracies in percent."""

    cause: str
    sick: float
    healed: float


class Speed(NamedTuple):
    """The shape of a layer's input, and how many times as fast as torch's the layer is, with the range of the runs."""

    shape: str
    ratio: float
    low: float
    high: float


def chart(words: Words) -> str:
    """Return the chart as SVG in one language."""
    healed, speeds = sorted(healed_models(), key=lambda row: row.sick), layer_speeds()
    height = _TOP + _ROW * max(len(healed), len(speeds)) + 26
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{_description(healed, speeds, words)}">',
        f"<style>text {{ font: 12px {words.fonts} }}\n{_STYLE}</style>",
        *_healed_panel(healed, words),
        *_speed_panel(speeds, words),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def healed_models() -> list[Healed]:
    """Return the rows of docs/doctor/healed.md."""
    rows = _rows((_DOCS / "doctor/healed.md").read_text(encoding="utf-8"), "| set-up |")
    return [Healed(row[0], float(row[5].rstrip("%")), float(row[6].rstrip("%"))) for row in rows]


def layer_speeds() -> list[Speed]:
    """Return the rows of BN+ReLU, forward and backward, of docs/speed.md, with malloc tuned."""
    page = (_DOCS / "speed.md").read_text(encoding="utf-8")
    rows = _rows(page[page.index("### BN+ReLU, forward and backward\n") :], "| shape |")
    return [Speed(row[0], *map(float, re.findall(r"[\d.]+", row[3]))) for row in rows]


def _rows(text: str, head: str) -> Iterator[list[str]]:
    """Yield the cells of the rows of the first table that begins so."""
    lines = text[text.index(head) :].splitlines()
    for line in lines[2:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def _description(healed: Sequence[Healed], speeds: Sequence[Speed], words: Words) -> str:
    ratios = [row.ratio for row in speeds]
    return words.description.format(models=len(healed), least=min(ratios), most=max(ratios))


def _healed_panel(rows: Sequence[Healed], words: Words) -> Iterator[str]:
    left, right = 190, 450

    def x(accuracy: float) -> float:
        return left + (right - left) * accuracy / 100

    yield from _title(0, words.healed, words.healed_axis)
    yield from _axis([(x(tick), f"{tick}%") for tick in (0, 50, 100)], len(rows))
    for at, row in enumerate(rows):
        y = _TOP + _ROW * (at + 0.5)
        yield f'<text x="{left - 10}" y="{y + 4:.1f}" text-anchor="end">{words.causes[row.cause]}</text>'
        yield f'<line class="link" x1="{x(row.sick):.1f}" x2="{x(row.healed):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<circle class="sick" cx="{x(row.sick):.1f}" cy="{y:.1f}" r="4.5"/>'
        yield f'<circle class="healed" cx="{x(row.healed):.1f}" cy="{y:.1f}" r="4.5"/>'


def _speed_panel(rows: Sequence[Speed], words: Words) -> Iterator[str]:
    left, right, most = 660, 860, 4.5

    def x(ratio: float) -> float:
        return left + (right - left) * ratio / most

    yield from _title(510, words.speed, words.speed_axis)
    yield from _axis([(x(tick), f"{tick}×") for tick in (0, 1, 2, 3, 4)], len(rows))
    for at, row in enumerate(rows):
        y = _TOP + _ROW * (at + 0.5)
        yield f'<text x="{left - 10}" y="{y + 4:.1f}" text-anchor="end">{row.shape}</text>'
        yield f'<rect class="bar" x="{left}" y="{y - 5:.1f}" width="{x(row.ratio) - left:.1f}" height="10" rx="2"/>'
        yield f'<line class="spread" x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _title(left: float, title: str, subtitle: str) -> Iterator[str]:
    yield f'<text class="title" x="{left}" y="18">{title}</text>'
    yield f'<text class="faint" x="{left}" y="37">{subtitle}</text>'


def _axis(ticks: Sequence[tuple[float, str]], rows: int) -> Iterator[str]:
    bottom = _TOP + _ROW * rows
    for x, text in ticks:
        yield f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{bottom}"/>'
        yield f'<text class="faint" x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{text}</text>'


if __name__ == "__main__":
    for language in (ENGLISH, CHINESE):
        (Path(sys.argv[1]) / language.file).write_text(chart(language), encoding="utf-8")
