"""A bar for each of the five tutorials, drawn from the table at the top of the page about them.

Run: python -m tests.documentation.tutorial_verdicts, which counts the table's rows and draws it.
"""

import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

_COLOURS = Path(__file__).parents[1] / "src/normwise/report/styles/colours.css"
#: Colours of the report that stand for right, half right, wrong and not decided, and those of text.
_VERDICTS = ("yes", "open", "no", "rule")
_TEXT = ("ink", "quiet", "page")
_STYLE = """\
text { font: 13px system-ui, 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif; fill: var(--ink) }
.yes { fill: var(--yes) } .open { fill: var(--open) } .no { fill: var(--no) } .rule { fill: var(--rule) }
.count { fill: var(--page); font-weight: 600; text-anchor: middle } .count.rule { fill: var(--ink) }
.quiet { fill: var(--quiet) }"""
_WIDTH, _TOP, _ROW, _BAR = 880, 46, 48, 22
#: Statements from the left end of the scale to its right end: no tutorial may have more.
_MOST = 36
_LEGEND_STEP = 130
_ROWS = re.compile(r"^\| \[(?P<title>[^]]+)\]\(#[^)]*\) \| (?P<total>\d+) \| (?P<counts>[\d |]+) \|$", re.M)
_HEAD = re.compile(r"^\| [^|]+ \| [^|]+ \| (?P<words>[^|]+ \| [^|]+ \| [^|]+ \| [^|]+) \|$", re.M)


class Tutorial(NamedTuple):
    """A row of the table: the tutorial, and its statements by verdict."""

    title: str
    counts: tuple[int, ...]


def verdict_bars(page: str) -> str:
    """Return the bars of a page's table as SVG, with the words of its head.

    Raises:
        ValueError: the page has no such table, or a tutorial has more statements than the scale.
    """
    head, rows = _HEAD.search(page), tutorials(page)
    if head is None or not rows or max(sum(row.counts) for row in rows) > _MOST:
        raise ValueError(
            f"found {len(rows)} tutorials; expected a table of them with at most {_MOST} statements each"
        )
    words = head["words"].split(" | ")
    described = "; ".join(f"{row.title}: {_said(row.counts, words)}" for row in rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_TOP + _ROW * len(rows)}" role="img" '
        f'aria-label="{escape(described)}">',
        f"<style>{_colours()}\n{_STYLE}</style>",
        *_legend(words),
        *(line for at, row in enumerate(rows) for line in _bar(row, _TOP + _ROW * at)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def tutorials(page: str) -> list[Tutorial]:
    """Return the rows of the table at the top of a page."""
    return [Tutorial(row["title"], _numbers(row["counts"])) for row in _ROWS.finditer(page)]


def _numbers(counts: str) -> tuple[int, ...]:
    return tuple(int(count) for count in counts.split(" | "))


def _said(counts: Sequence[int], words: Sequence[str]) -> str:
    return ", ".join(f"{count} {word}" for count, word in zip(counts, words, strict=True))


def _colours() -> str:
    """Return the report's colours, the light ones and the dark ones."""
    light, dark = re.findall(r":root \{(.*?)\}", _COLOURS.read_text(encoding="utf-8"), re.S)
    kept = [
        " ".join(f"--{name}: {_colour(name, theme)};" for name in (*_VERDICTS, *_TEXT))
        for theme in (light, dark)
    ]
    return f":root {{ {kept[0]} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {kept[1]} }} }}"


def _colour(name: str, theme: str) -> str:
    found = re.search(rf"--{name}: (#\w+);", theme)
    if found is None:
        raise ValueError(f"{_COLOURS} has no colour --{name}")
    return found[1]


def _legend(words: Sequence[str]) -> Iterator[str]:
    for at, (kind, word) in enumerate(zip(_VERDICTS, words, strict=True)):
        x = _LEGEND_STEP * at
        yield f'<rect class="{kind}" x="{x}" y="4" width="14" height="14" rx="2"/>'
        yield f'<text x="{x + 20}" y="16">{escape(word)}</text>'


def _bar(row: Tutorial, top: int) -> Iterator[str]:
    yield f'<text class="quiet" x="0" y="{top}">{escape(row.title)}</text>'
    start = 0
    for kind, count in zip(_VERDICTS, row.counts, strict=True):
        if not count:
            continue
        x, width = _WIDTH * start / _MOST, _WIDTH * count / _MOST
        yield f'<rect class="{kind}" x="{x:.1f}" y="{top + 7}" width="{width - 1.5:.1f}" height="{_BAR}"/>'
        yield f'<text class="count {kind}" x="{x + width / 2:.1f}" y="{top + 7 + _BAR - 6}">{count}</text>'
        start += count
