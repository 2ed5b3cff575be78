"""Axes of a picture with their ticks, in both languages."""

from collections.abc import Sequence

from markupsafe import Markup

from normwise.records import Figure
from normwise.report.figures.chart.area import LEFT, STEEP, STEEP_LETTERS, TOP, Area
from normwise.report.figures.chart.labels import label_lines
from normwise.report.figures.chart.words import LINE, both, in_both, text_line, text_lines


def axes_of(figure: Figure, area: Area) -> Markup:
    """Return both axes, with the grid of the vertical one."""
    parts = [both(LEFT - 40, 12, figure.y_label, "label", area.chinese)]
    for place, words in area.y_scale.ticks():
        y = round(area.bottom - place * (area.bottom - TOP), 1)
        parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(LEFT, y, area.right))
        parts.append(text_line(LEFT - 6, y + 3.5, words, "tick end"))
    ticks = area.x_scale.ticks()
    for place, words in ticks:
        x = round(LEFT + place * (area.right - LEFT), 1)
        parts.append(Markup('<path class="axis" d="M{} {}v4"/>').format(x, area.axis))
        parts.append(_tick(x, words, area))
    parts.append(Markup('<path class="axis" d="M{} {}H{}"/>').format(LEFT, area.axis, area.right))
    parts.append(both((LEFT + area.right) / 2, area.height - 4, figure.x_label, "label middle", area.chinese))
    return Markup("").join(parts)


def _tick(x: float, words: str, area: Area) -> Markup:
    """Return the words of a tick of the horizontal axis: a number, a name in two lines, or a long one steeply."""
    y = area.axis + 14
    if not area.x_scale.categories:
        return text_line(x, y, words, "tick middle")
    zh = area.chinese(words)
    if area.steep:
        most = max(int(area.room / LINE), 1)
        return in_both(
            _steeply(x, area.axis, label_lines(words, STEEP_LETTERS, most)),
            _steeply(x, area.axis, label_lines(zh, STEEP_LETTERS * 2 // 3, most)) if zh else None,
        )
    return in_both(
        text_lines(x, y, label_lines(words, area.letters, 2), "tick middle"),
        text_lines(x, y, label_lines(zh, max(area.letters // 2, 3), 2), "tick middle") if zh else None,
    )


def _steeply(x: float, axis: float, lines: Sequence[str]) -> Markup:
    first = 5 - LINE * (len(lines) - 1) / 2
    return Markup('<g transform="translate({:g} {:g}) rotate(-{})">{}</g>').format(
        x, axis + 8, STEEP, text_lines(0, first, lines, "tick end")
    )
