"""Figures as data, independent of the drawing."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Series:
    """A line or a set of points, with its spread.

    Attributes:
        label: Name of the series.
        x: Positions; numbers, or names of categories.
        y: Values; NaN leaves a gap.
        low, high: Bounds of the spread, as long as ``y``, or empty if there is none.
        style: Number of the style (colour, dash, marker), with the same meaning in all figures of a page: 0 with
            BN, 1 without, 2 and more for others.
        failed: Number of diverged runs at each position, or empty for none; their values are not in ``y``.
    """

    label: str
    x: tuple[float, ...] | tuple[str, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    style: int = 0
    failed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.x)
        if len(self.y) != count or not {len(self.low), len(self.high), len(self.failed)} <= {0, count}:
            raise ValueError(
                f"expected as many values and bounds as the {count} positions, got {len(self.y)} values, bounds of "
                f"{len(self.low)} and {len(self.high)}, and {len(self.failed)} counts of failed runs"
            )


@dataclass(frozen=True)
class Figure:
    """Axes with series in them.

    Attributes:
        name: Identifier, unique in a page.
        title: Title, a sentence on what the figure shows.
        caption: Caption: what to see, and what the spread is.
        lines: Whether points are joined; a spread is a band around a line and a bar through a point.
    """

    name: str
    title: str
    caption: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_log: bool = False
    y_log: bool = False
    y_percent: bool = False
    lines: bool = True


@dataclass(frozen=True)
class HeatMap:
    """Heat map: a row of cells for each of many items, over a common horizontal axis; colours show values.

    Attributes:
        name: Identifier, unique in a page.
        title: Title, a sentence on what the map shows.
        caption: Caption: what to see.
        x_label: Label of the columns.
        row_label: Label of the rows.
        value_label: Label of the values.
        x: Positions of the columns.
        rows: Names of the rows, from the top.
        values: Values, a row for each of ``rows`` with a value for each of ``x``; NaN leaves a gap.
        log: Whether equal steps of colour are equal ratios; then a value of 0 has the lowest colour.
        least, greatest: Ends of the colour scale, if they are the same for all records; values beyond have the colours
            of the ends. NaN for the ends of the values.
    """

    name: str
    title: str
    caption: str
    x_label: str
    row_label: str
    value_label: str
    x: tuple[float, ...]
    rows: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    log: bool = False
    least: float = math.nan
    greatest: float = math.nan
