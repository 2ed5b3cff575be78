"""A figure as SVG: lines with bands, or points with bars, each named at its end; runs that failed at the foot."""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from normwise.records import Figure, Series
from normwise.report.figures.chart.labels import Label, fits, label_lines, spread_out
from normwise.report.figures.chart.scale import Scale
from normwise.report.figures.chart.simplify import Place, path, simplified
from normwise.report.figures.printable import printable

WIDTH, HEIGHT = 360, 250
_LEFT, _TOP, _FOOT = 44, 24, 38
#: Room where names stand below the axis in two lines; longer ones stand steeply, at so many degrees, and need so much
#: for each letter.
_FOOT_OF_NAMES = 46
_STEEP, _STEEP_LETTERS, _STEEP_RISE = 60, 17, 4.8
#: Room for names behind the ends of the lines.
_RIGHT = 118
_FAILED = 16
_MOST_MARKERS = 16
#: Width of a letter, and height of a line of text.
_LETTER, _LINE = 6, 10.5
#: As many as the page has colours; a style differs from every other in its dashes, too.
_DASHES = ("", "6 3", "2 3", "7 3 2 3", "10 4", "10 3 2 3", "8 2 2 2 2 2", "2 6")


#: From an English text to its Chinese; to nothing where it has none.
Translation = Callable[[str], str]


def _untranslated(text: str) -> str:
    return ""


def chart(
    figure: Figure, axes: tuple[Scale, Scale], name: str = "", chinese: Translation = _untranslated
) -> Markup:
    """Return the figure, on these axes, in both languages; with a name it can be shown again elsewhere in the page."""
    failed = any(series.failed for series in figure.series)
    area = _Area(axes[0], axes[1], _FAILED if failed else 0, chinese)
    parts = [_axes(figure, area)]
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
    height = _Area(axes[0], axes[1], 0, _untranslated).height
    return _picture(figure, height, Markup('<use href="#{}"/>').format(name))


def _picture(figure: Figure, height: float, drawn: Markup) -> Markup:
    label = f"Chart: {printable(figure.title)}. {figure.y_label} against {figure.x_label}."
    return Markup('<svg class="picture" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, f"{height:g}", label, drawn
    )


class _Area:
    """The part of the picture where things are drawn, in its units."""

    def __init__(self, x: Scale, y: Scale, failed: float, chinese: Translation):
        self.x_scale, self.y_scale, self.right = x, y, WIDTH - _RIGHT
        self.chinese = chinese
        #: Room of a category below the axis.
        self.room = (self.right - _LEFT) / max(len(x.categories), 1)
        self.steep = not all(fits(name, self.letters, 2) for name in x.categories)
        longest = max((min(len(name), _STEEP_LETTERS) for name in x.categories), default=0)
        foot_of_names = 24 + _STEEP_RISE * longest if self.steep else _FOOT_OF_NAMES
        foot = foot_of_names if x.categories else _FOOT
        self.height = HEIGHT - _FOOT + foot
        #: Heights of the axis, and of the lowest value: between them runs stand that failed.
        self.axis, self.bottom = HEIGHT - _FOOT, HEIGHT - _FOOT - failed

    @property
    def letters(self) -> int:
        """Return how many letters a category has room for."""
        return max(int(self.room / _LETTER), 3)

    def x(self, value: float | str) -> float | None:
        place = self.x_scale.place(value)
        return None if place is None else round(_LEFT + place * (self.right - _LEFT), 1)

    def y(self, value: float) -> float | None:
        place = self.y_scale.place(value)
        if place is None:
            return None
        return round(self.bottom - min(max(place, 0.0), 1.0) * (self.bottom - _TOP), 1)

    def end(self, value: float) -> float | None:
        """Return the height of an end of a spread; of one that the axis does not have, the foot."""
        return float(self.bottom) if self.y_scale.log and value <= 0 else self.y(value)


def _axes(figure: Figure, area: _Area) -> Markup:
    parts = [_both(_LEFT - 40, 12, figure.y_label, "label", area.chinese)]
    for place, words in area.y_scale.ticks():
        y = round(area.bottom - place * (area.bottom - _TOP), 1)
        parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(_LEFT, y, area.right))
        parts.append(_words(_LEFT - 6, y + 3.5, words, "tick end"))
    ticks = area.x_scale.ticks()
    for place, words in ticks:
        x = round(_LEFT + place * (area.right - _LEFT), 1)
        parts.append(Markup('<path class="axis" d="M{} {}v4"/>').format(x, area.axis))
        parts.append(_tick(x, words, area))
    parts.append(Markup('<path class="axis" d="M{} {}H{}"/>').format(_LEFT, area.axis, area.right))
    parts.append(
        _both((_LEFT + area.right) / 2, area.height - 4, figure.x_label, "label middle", area.chinese)
    )
    return Markup("").join(parts)


def _tick(x: float, words: str, area: _Area) -> Markup:
    """Return the words of a tick of the horizontal axis: a number, a name in two lines, or a long one steeply."""
    y = area.axis + 14
    if not area.x_scale.categories:
        return _words(x, y, words, "tick middle")
    zh = area.chinese(words)
    if area.steep:
        most = max(int(area.room / _LINE), 1)
        return _in_both(
            _steeply(x, area.axis, label_lines(words, _STEEP_LETTERS, most)),
            _steeply(x, area.axis, label_lines(zh, _STEEP_LETTERS * 2 // 3, most)) if zh else None,
        )
    return _in_both(
        _lines(x, y, label_lines(words, area.letters, 2), "tick middle"),
        _lines(x, y, label_lines(zh, max(area.letters // 2, 3), 2), "tick middle") if zh else None,
    )


def _steeply(x: float, axis: float, lines: Sequence[str]) -> Markup:
    first = 5 - _LINE * (len(lines) - 1) / 2
    return Markup('<g transform="translate({:g} {:g}) rotate(-{})">{}</g>').format(
        x, axis + 8, _STEEP, _lines(0, first, lines, "tick end")
    )


def _band(series: Series, area: _Area) -> Markup:
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


def _line(series: Series, area: _Area) -> Markup:
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


def _points(series: Series, area: _Area, aside: float) -> Markup:
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


def _failed(series: Sequence[Series], area: _Area) -> Markup:
    """Return a cross for each position at which runs diverged, in a row of its own below the axis' lowest value."""
    middle = area.axis - _FAILED / 2
    parts = [
        Markup('<rect class="failed" x="{}" y="{}" width="{}" height="{}"/>').format(
            _LEFT, area.bottom, area.right - _LEFT, _FAILED
        ),
        _in_both(
            _words(_LEFT - 6, middle + 3.5, "failed", "tick end"),
            _words(_LEFT - 6, middle + 3.5, "失败", "tick end"),
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


def _names(series: Sequence[Series], area: _Area) -> Markup:
    heights = []
    for one in series:
        ends = [y for y in map(area.y, one.y) if y is not None]
        heights.append(ends[-1] if ends else area.axis - _FAILED / 2)
    translated = [area.chinese(one.label) or one.label for one in series]
    english = [one.label for one in series]
    return _in_both(
        _names_at(english, heights, series, area),
        _names_at(translated, heights, series, area) if translated != english else None,
    )


def _names_at(
    names: Sequence[str], heights: Sequence[float], series: Sequence[Series], area: _Area
) -> Markup:
    labels = [
        Label(name, height, _style(one)) for name, height, one in zip(names, heights, series, strict=True)
    ]
    return Markup("").join(
        _lines(area.right + 8, label.y, label.lines, f"name s{label.style}")
        for label in spread_out(labels, _TOP, area.axis + 6)
    )


def _asides(figure: Figure) -> list[float]:
    """Return how far points of each series stand aside, where several would stand on one another."""
    total = len(figure.series)
    return [0.0] * total if figure.lines else [7.0 * (i - (total - 1) / 2) for i in range(total)]


def _style(series: Series) -> int:
    return series.style % len(_DASHES)


def _words(x: float, y: float, words: str, kind: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(
        kind, f"{x:g}", f"{y:g}", printable(words)
    )


def _lines(x: float, y: float, lines: Sequence[str], kind: str) -> Markup:
    return Markup("").join(_words(x, y + _LINE * i, line, kind) for i, line in enumerate(lines))


def _both(x: float, y: float, words: str, kind: str, chinese: Translation) -> Markup:
    zh = chinese(words)
    return _in_both(_words(x, y, words, kind), _words(x, y, zh, kind) if zh else None)


def _in_both(en: Markup, zh: Markup | None) -> Markup:
    """Return what is seen in English and what is seen in Chinese; English alone stands for both."""
    if zh is None or zh == en:
        return en
    return Markup('<g lang="en">{}</g><g lang="zh-Hans">{}</g>').format(en, zh)
