"""An axis of a chart: from values to places, and its ticks."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from normwise.records import Figure, Series
from normwise.report.numbers import position, power_of_ten

_MOST_TICKS = 6
#: Numbers beyond this, or closer than this part of their size, have no axis of their own.
_LARGEST, _NEARLY_EQUAL = 1e300, 1e-9


@dataclass(frozen=True)
class Scale:
    """An axis.

    Attributes:
        low, high: Ends of the scale.
        log: Whether equal steps are equal ratios.
        percent: Whether its ticks are percentages.
        categories: Names that stand at 0, 1, 2 and so on, instead of numbers.
    """

    low: float
    high: float
    log: bool = False
    percent: bool = False
    categories: tuple[str, ...] = ()

    def place(self, value: float | str) -> float | None:
        """Return the place of a value, 0 at the low end and 1 at the high one; None where it has none."""
        if isinstance(value, str):
            value = float(self.categories.index(value))
        if not math.isfinite(value) or (self.log and value <= 0):
            return None
        low, high = self._inner(self.low), self._inner(self.high)
        return (self._inner(value) - low) / (high - low)

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Return the ticks' places and words."""
        if self.categories:
            values: Sequence[float] = [float(i) for i in range(len(self.categories))]
            words = self.categories
        elif self.log:
            values = _log_ticks(self.low, self.high)
            words = tuple(map(_power, values))
        else:
            values = _linear_ticks(self.low, self.high)
            words = tuple(f"{100 * value:.4g}%" if self.percent else _plain(value) for value in values)
        places = [(self.place(value), word) for value, word in zip(values, words, strict=True)]
        return tuple((place, word) for place, word in places if place is not None)

    def _inner(self, value: float) -> float:
        return math.log10(value) if self.log else value


def scales(figures: Sequence[Figure]) -> tuple[tuple[Scale, Scale], ...]:
    """Return the axes of each figure; figures that have the same on an axis share its ends."""
    return tuple(
        (
            _x_scale([one for one in figures if _same_x(one, figure)]),
            _y_scale([one for one in figures if _same_y(one, figure)]),
        )
        for figure in figures
    )


def _same_x(one: Figure, other: Figure) -> bool:
    return (one.x_label, one.x_log, _categories(one)) == (other.x_label, other.x_log, _categories(other))


def _same_y(one: Figure, other: Figure) -> bool:
    return (one.y_label, one.y_log, one.y_percent) == (other.y_label, other.y_log, other.y_percent)


def _x_scale(figures: Sequence[Figure]) -> Scale:
    categories = _categories(figures[0])
    if categories:
        return Scale(-0.5, len(categories) - 0.5, categories=categories)
    log = figures[0].x_log
    low, high = _ends((x for one in _series(figures) for x in one.x if not isinstance(x, str)), log)
    return Scale(low, high, log)


def _y_scale(figures: Sequence[Figure]) -> Scale:
    log, percent = figures[0].y_log, figures[0].y_percent
    low, high = _ends((y for one in _series(figures) for y in (*one.y, *one.low, *one.high)), log)
    if log:
        return Scale(low / 1.1, high * 1.1, log)
    margin = 0.05 * (high - low)
    if percent and low >= 0 and high <= 1:
        return Scale(max(low - margin, 0.0), min(high + margin, 1.0), percent=True)
    return Scale(low - margin, high + margin, percent=percent)


def _ends(values: Iterable[float], log: bool) -> tuple[float, float]:
    """Return the lowest and the highest of the values, apart from one another, and not beyond what can be drawn."""
    least = 1 / _LARGEST if log else -_LARGEST
    usable = [
        min(max(value, least), _LARGEST)
        for value in values
        if math.isfinite(value) and (value > 0 or not log)
    ]
    low, high = min(usable, default=1.0), max(usable, default=1.0)
    if log:
        return (low, high) if high > low * (1 + _NEARLY_EQUAL) else (low / 2, high * 2)
    size = max(abs(low), abs(high))
    if high - low > _NEARLY_EQUAL * size and high - low > 1 / _LARGEST:
        return low, high
    return low - max(0.5, size / 10), high + max(0.5, size / 10)


def _categories(figure: Figure) -> tuple[str, ...]:
    return tuple(dict.fromkeys(x for series in figure.series for x in series.x if isinstance(x, str)))


def _series(figures: Sequence[Figure]) -> list[Series]:
    return [series for figure in figures for series in figure.series]


def _linear_ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / (_MOST_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    every = max(1, math.ceil((last - first) / _MOST_TICKS))
    ticks = [factor * 10.0**power for power in range(first, last + 1, every) for factor in factors]
    return [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]


def _power(value: float) -> str:
    if 1e-3 <= value < 1e5:
        return f"{value:g}"
    return power_of_ten(math.floor(math.log10(value) + 0.5))


def _plain(value: float) -> str:
    return position(value).replace("-", "−")
