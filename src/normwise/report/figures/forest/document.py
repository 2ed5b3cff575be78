"""The forest plot alone, as an SVG file for a README or in print."""

import textwrap
from importlib.resources import files

from markupsafe import Markup

from normwise.records import ClaimResult, Study, range_words
from normwise.report.figures.forest import marks
from normwise.report.figures.printable import printable
from normwise.report.views.study_view import study_line
from normwise.report.views.verdicts import SYMBOLS, groups, headline, row_name, tutorials, verdict_word

_WIDTH, _MARGIN = 960, 20
_PLOT_X, _WORDS_X = 308, 308 + marks.WIDTH + 12
_STATEMENT_LETTERS, _VERDICT_LETTERS, _HEADLINE_LETTERS, _LEAD_LETTERS = 42, 39, 66, 125
_QUESTION_LETTERS = 28
_TEXT_LINE, _PADDING = 15, 7


def forest_svg(study: Study) -> str:
    """Return the headline and a row a claim, in English, light or dark as the reader's screen is."""
    parts: list[Markup] = []
    y = 40.0
    for line in textwrap.wrap(headline(study).en, _HEADLINE_LETTERS):
        parts.append(_text(_MARGIN, y, line, "headline"))
        y += 26
    for line in textwrap.wrap(study_line(study).en, _LEAD_LETTERS):
        parts.append(_text(_MARGIN, y, line, "quiet"))
        y += _TEXT_LINE
    for _, question, findings in groups(study):
        y += 40
        lines = textwrap.wrap(question.en, _QUESTION_LETTERS)
        parts += [_text(_MARGIN, y - 19 * i, line, "group") for i, line in enumerate(reversed(lines))]
        parts.append(_axis(y))
        y += 12
        for finding in findings:
            row, height = _row(finding, y)
            parts.append(row)
            y += height
    y += 24
    parts += [_legend(y)]
    height = y + 40
    return str(
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            'role="img" font-family="system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif">\n'
            "<title>{title}</title>\n<style>\n{style}</style>\n"
            '<rect class="paper" width="{width}" height="{height}"/>\n{parts}\n</svg>\n'
        ).format(
            width=_WIDTH,
            height=round(height),
            title=headline(study).en,
            style=Markup(_style()),
            parts=Markup("\n").join(parts),
        )
    )


def _row(finding: ClaimResult, top: float) -> tuple[Markup, float]:
    said = " ".join(tutorials(finding)) or "ours"
    name = textwrap.wrap(f"{row_name(finding).en} ({said})", _STATEMENT_LETTERS)
    word = f"{SYMBOLS[finding.verdict]} {verdict_word(finding).en}"
    units = range_words(finding.cases).en
    beside = len(word) + len(units) + 1 <= _VERDICT_LETTERS
    beneath = [] if beside else _wrapped(units, _VERDICT_LETTERS)
    beneath += _wrapped(finding.reason.en, _VERDICT_LETTERS)
    text = _TEXT_LINE * max(len(name), 1 + len(beneath))
    height = max(text, marks.height_of(finding.cases)) + _PADDING
    parts = [
        Markup('<path class="rule" d="M{} {}H{}"/>').format(_MARGIN, f"{top:g}", _WIDTH - _MARGIN),
        Markup('<g transform="translate({} {})">{}{}</g>').format(
            _PLOT_X, f"{top:g}", marks.background(height), marks.row_of_marks(finding.cases, height)
        ),
    ]
    y = top + (height - _TEXT_LINE * len(name)) / 2 + 12
    parts += [_text(_MARGIN, y + _TEXT_LINE * i, line, "statement") for i, line in enumerate(name)]
    y = top + (height - _TEXT_LINE * (1 + len(beneath))) / 2 + 12
    parts.append(_verdict(y, word, finding.verdict.replace(" ", "-"), f" {units}" if beside else ""))
    parts += [_text(_WORDS_X, y + _TEXT_LINE * (1 + i), line, "quiet") for i, line in enumerate(beneath)]
    return Markup("\n").join(parts), height


def _verdict(y: float, word: str, kind: str, units: str) -> Markup:
    return Markup('<text x="{}" y="{}" class="{}"><tspan class="verdict {}">{}</tspan>{}</text>').format(
        _WORDS_X, f"{y:g}", "quiet", kind, printable(word), printable(units)
    )


def _axis(y: float) -> Markup:
    return Markup('<g transform="translate({} 0)">{}{}{}</g>').format(
        _PLOT_X,
        _text(0, y - 14, "tutorials are wrong ←", "tick"),
        _text(marks.WIDTH, y - 14, "→ tutorials are right", "tick end"),
        marks.tick_labels(y + 4),
    )


def _legend(y: float) -> Markup:
    items = (
        ("dense", "shown", "shown (filled)"),
        ("dense", "open", "open (hollow)"),
        ("dense", "refuted", "too small to matter, or the contrary (crossed)"),
        ("dense", "open", "dense"),
        ("convolution", "open", "convolution"),
        ("recurrent", "open", "recurrent"),
        ("deep", "open", "deep"),
    )
    parts, x = [], float(_MARGIN)
    for family, outcome, words in items:
        parts.append(marks.shape(family, outcome, x + 6, y - 4))  # type: ignore[arg-type]
        parts.append(_text(x + 18, y, words, "tick"))
        x += 44 + 6.0 * len(words)
    below = (
        "Unit: the smallest effect that matters. Grey: too small to matter. Whiskers: 95% interval over seeds. "
        "000 to 004: tutorials that say it."
    )
    return Markup("\n").join([*parts, _text(_MARGIN, y + 20, below, "tick")])


def _text(x: float, y: float, words: str, kind: str) -> Markup:
    return Markup('<text x="{}" y="{}" class="{}">{}</text>').format(
        f"{x:g}", f"{y:g}", kind, printable(words)
    )


def _wrapped(words: str, letters: int) -> list[str]:
    return textwrap.wrap(words, letters)


def _style() -> str:
    styles = files("normwise.report") / "styles"
    return "".join((styles / name).read_text(encoding="utf-8") for name in ("colours.css", "forest.css"))
