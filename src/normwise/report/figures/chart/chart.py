"""A figure as SVG: lines with bands, or points with bars, each named at its end; runs that failed at the foot."""

from collections.abc import Sequence

from markupsafe import Markup

from normwise.records import Figure, Series
from normwise.report.figures.chart.area import FAILED, LEFT, TOP, WIDTH, Area
from normwise.report.figures.chart.axes import axes_of
from normwise.report.figures.chart.labels import Label, spread_out
from normwise.report.figures.chart.scale import Scale
from normwise.report.figures.chart.simplify import Place, path, simplified
from normwise.report.figures.chart.words import Translation, in_both, text_line, text_lines, untranslated
from normwise.report.figures.printable import printable

_MOST_MARKERS = 16
#: As many as the page has colours; a style differs from every other in its dashes, too.
_DASHES = ("", "6 3", "2 3", "7 3 2 3", "10 4", "10 3 2 3", "8 2 2 2 2 2", "2 6")


def chart(
    figure: Figure, axes: tuple[Scale, Scale], name: str = "", chinese: Translation = untranslated
) -> Markup:
    """Return the figure, on these axes, in both languages; with a name it can be shown again elsewhere in the page."""
    failed = any(series.failed for series in figure.series)
    area = Area(axes[0], axes[1], FAILED if failed else 0, chinese)
    parts = [axes_of(figure, area)]
    if figure.lines:
        parts += [_band(series, area) for series in figure.series]
    aside = _asides(figure)
    parts += [
        (_line(series, area) if figure.lines else _points(series, area, shift))
        for series, shift in zip(figure.series, aside, strict=True)
    ]
    if failed:
        parts.append(_failed(figure.series, area))
    parts.append(_names(figure.series, area))
    mark = Markup(' id="{}"').format(name) if name else ""
    # A copy elsewhere is styled by what is in it, and not by what it stands in.
    drawn = Markup('<g class="drawn"{}>{}</g>').format(mark, Markup("").join(parts))
    return _picture(figure, area.height, drawn)


def chart_again(figure: Figure, axes: tuple[Scale, Scale], name: str) -> Markup:
    """Return a figure that is drawn elsewhere in the page, on these axes, under this name."""
    height = Area(axes[0], axes[1], 0, untranslated).height
    return _picture(figure, height, Markup('<use href="#{}"/>').format(name))


def _picture(figure: Figure, height: float, drawn: Markup) -> Markup:
    label = f"Chart: {printable(figure.title)}. {figure.y_label} against {figure.x_label}."
    return Markup('<svg class="picture" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, f"{height:g}", label, drawn
    )


def _band(series: Series, area: Area) -> Markup:
    if not (series.low and series.high):
        return Markup("")
    x = list(map(area.x, series.x))
    # Where there is no value, there is no band.
    heights = [
        None if area.y(y) is None else (low, high)
        for y, low, high in zip(series.y, series.low, series.high, strict=True)
    ]
    lows = [None if ends is None else area.end(ends[0]) for ends in heights]
    highs = [None if ends is None else area.end(ends[1]) for ends in heights]
    both = zip(_stretches(x, lows, highs), _stretches(x, highs, lows), strict=True)
    polygons = [path([*simplified(low), *simplified(high)[::-1]]) + "Z" for low, high in both if len(low) > 1]
    if not polygons:
        return Markup("")
    return Markup('<path class="spread s{}" d="{}"/>').format(_style(series), "".join(polygons))


def _line(series: Series, area: Area) -> Markup:
    stretches = _stretches(list(map(area.x, series.x)), list(map(area.y, series.y)))
    # A point between two gaps is on no line.
    few = len(series.x) <= _MOST_MARKERS
    dots = [place for stretch in stretches for place in stretch if few or len(stretch) == 1]
    return Markup('<path class="line s{}" stroke-dasharray="{}" d="{}"/>{}').format(
        _style(series),
        _DASHES[_style(series)],
        "".join(path(simplified(stretch)) for stretch in stretches),
        _dots(dots, _style(series)),
    )


def _stretches(
    x: Sequence[float | None], y: Sequence[float | None], *others: Sequence[float | None]
) -> list[list[Place]]:
    """Return the places without a gap between them, where all columns have a value."""
    found: list[list[Place]] = [[]]
    for at, height, *rest in zip(x, y, *others, strict=True):
        if at is None or height is None or None in rest:
            found.append([])
        else:
            found[-1].append((at, height))
    return [stretch for stretch in found if stretch]


def _points(series: Series, area: Area, aside: float) -> Markup:
    dots, bars = [], []
    for i, (at, value) in enumerate(zip(series.x, series.y, strict=True)):
        x, y = area.x(at), area.y(value)
        if x is None or y is None:
            continue
        dots.append((x + aside, y))
        if series.low and series.high:
            low, high = area.end(series.low[i]), area.end(series.high[i])
            if low is not None and high is not None:
                bars.append(f"M{x + aside:g} {low:g}V{high:g}")
    return Markup('<path class="bar s{}" d="{}"/>{}').format(
        _style(series), "".join(bars), _dots(dots, _style(series))
    )


def _dots(places: Sequence[Place], style: int) -> Markup:
    """Return dots: of lines without length, whose round ends are all that is seen."""
    if not places:
        return Markup("")
    return Markup('<path class="point s{}" d="{}"/>').format(
        style, "".join(f"M{x:g} {y:g}h0" for x, y in places)
    )


def _failed(series: Sequence[Series], area: Area) -> Markup:
    """Return a cross for each position at which runs diverged, in a row of its own below the axis' lowest value."""
    middle = area.axis - FAILED / 2
    parts = [
        Markup('<rect class="failed" x="{}" y="{}" width="{}" height="{}"/>').format(
            LEFT, area.bottom, area.right - LEFT, FAILED
        ),
        in_both(
            text_line(LEFT - 6, middle + 3.5, "failed", "tick end"),
            text_line(LEFT - 6, middle + 3.5, "失败", "tick end"),
        ),
    ]
    for number, one in enumerate(series):
        for x, count in zip(one.x, one.failed or (0,) * len(one.x), strict=True):
            at = area.x(x)
            if count and at is not None:
                parts.append(
                    Markup('<path class="line s{}" d="M{} {}l6 6m0-6l-6 6"><title>{}</title></path>').format(
                        _style(one),
                        f"{at - 3 + 2 * number:g}",
                        f"{middle - 3:g}",
                        f"{printable(one.label)}: {count} diverged",
                    )
                )
    return Markup("").join(parts)


def _names(series: Sequence[Series], area: Area) -> Markup:
    heights = []
    for one in series:
        ends = [y for y in map(area.y, one.y) if y is not None]
        heights.append(ends[-1] if ends else area.axis - FAILED / 2)
    translated = [area.chinese(one.label) or one.label for one in series]
    english = [one.label for one in series]
    return in_both(
        _names_at(english, heights, series, area),
        _names_at(translated, heights, series, area) if translated != english else None,
    )


def _names_at(names: Sequence[str], heights: Sequence[float], series: Sequence[Series], area: Area) -> Markup:
    labels = [
        Label(name, height, _style(one)) for name, height, one in zip(names, heights, series, strict=True)
    ]
    return Markup("").join(
        text_lines(area.right + 8, label.y, label.lines, f"name s{label.style}")
        for label in spread_out(labels, TOP, area.axis + 6)
    )


def _asides(figure: Figure) -> list[float]:
    """Return how far points of each series stand aside, where several would stand on one another."""
    total = len(figure.series)
    return [0.0] * total if figure.lines else [7.0 * (i - (total - 1) / 2) for i in range(total)]


def _style(series: Series) -> int:
    return series.style % len(_DASHES)
