"""The cases of a claim as shapes with whiskers in SVG, a line each; colours are the page's."""

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from normwise.records import Case, Family, case_words
from normwise.report.figures.forest.axis import TICKS, is_beyond, place
from normwise.report.views.verdicts import outcome_words

WIDTH, LINE = 360, 15
#: Height of a line where many cases share a row, and of the smallest row.
TIGHT, LEAST = 8.5, 20
_MIDDLE, _REACH = WIDTH / 2, WIDTH / 2 - 16
_SHAPES: dict[Family, str] = {
    "dense": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "convolution": "M-3.6-3.6h7.2v7.2h-7.2z",
    "recurrent": "M0-4.6L4.6 3.6h-9.2z",
    "deep": "M0-5L5 0L0 5L-5 0z",
}
_CROSS = "M-4-4L4 4M-4 4L4-4"
_TICK = "M-5 0L-2 4L6-5"


def x_of(position: float) -> float:
    """Return the horizontal place of a position, in the plot's units."""
    return round(_MIDDLE + _REACH * place(position), 1)


def background(height: float) -> Markup:
    """Return what lies behind the marks: the band of effects that are too small to matter, and the lines of ticks."""
    low, high = x_of(-1), x_of(1)
    lines = "".join(f'<path class="grid" d="M{x_of(tick)} 0V{height:g}"/>' for tick in TICKS if abs(tick) > 1)
    return Markup(
        f'<rect class="band" x="{low}" width="{high - low:.1f}" height="{height:g}"/>{lines}'
        f'<path class="zero" d="M{x_of(0)} 0V{height:g}"/>'
    )


def height_of(cases: Sequence[Case]) -> float:
    """Return the height of a row in which the marks of all cases stand closely, one under the other."""
    return max(LEAST, TIGHT * (len(cases) + 1))


def marks(cases: Sequence[Case], top: float = 0.0, *, line: float = LINE) -> Markup:
    """Return the marks of all cases, one under the other, so many units apart."""
    return Markup("").join(_mark(case, top + line * (i + 0.5)) for i, case in enumerate(cases))


def row_of_marks(cases: Sequence[Case], height: float) -> Markup:
    """Return the marks of all cases, closely, in the middle of a row."""
    return marks(cases, (height - TIGHT * len(cases)) / 2, line=TIGHT)


def tick_labels(y: float) -> Markup:
    """Return the numbers below or above the axis."""
    return Markup("").join(
        Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            x_of(tick), f"{y:g}", f"{tick}".replace("-", "−")
        )
        for tick in TICKS
    )


def shape(family: Family, outcome: str, x: float, y: float) -> Markup:
    """Return a shape: filled where the case is shown, hollow where it is open, crossed where it is refuted."""
    crossed = f'<path class="cross" d="{_CROSS}"/>' if outcome in ("refuted", "reversed") else ""
    dot = f'<path class="dot" d="{_SHAPES[family]}"/>{crossed}'
    return Markup(f'<g class="{outcome}" transform="translate({x:g} {y:g})">{dot}</g>')


def _mark(case: Case, y: float) -> Markup:
    title = Markup("<title>{}: {}, {}</title>").format(
        case.gloss.en, case_words(case).en, outcome_words(case).en
    )
    if case.exact:
        return Markup("<g>{}{}</g>").format(title, _exact(case, y))
    estimate, low, high = case.position
    dot = Markup("") if math.isnan(estimate) else shape(case.family, case.outcome, x_of(estimate), y)
    return Markup("<g>{}{}{}</g>").format(title, _whiskers(case.outcome, low, high, y), dot)


def _whiskers(outcome: str, low: float, high: float, y: float) -> Markup:
    if math.isnan(low) or math.isnan(high):
        return Markup("")
    parts = [f"M{x_of(low)} {y:g}H{x_of(high)}"]
    for end, direction in ((low, -1), (high, 1)):
        x = x_of(end)
        if is_beyond(end) and end * direction > 0:
            parts.append(f"M{x:g} {y - 3:g}l{direction * 6} 3l{-direction * 6} 3")
        else:
            parts.append(f"M{x} {y - 2.5:g}v5")
    return Markup('<path class="whisker {}" d="{}"/>').format(escape(outcome), "".join(parts))


def _exact(case: Case, y: float) -> Markup:
    shown = case.outcome == "shown"
    return Markup('<path class="exact {}" transform="translate({} {})" d="{}"/>').format(
        case.outcome, x_of(10 if shown else -10), f"{y:g}", _TICK if shown else _CROSS
    )
