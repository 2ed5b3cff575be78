"""Figures as data: what is drawn, without saying how."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Series:
    """A line or a set of points, with its spread.

    Attributes:
        label: What it is.
        x: Positions; numbers, or names of categories.
        y: Values; NaN leaves a gap.
        low, high: Bounds of the spread, as long as ``y``, or empty where there is none.
        style: The same number means the same thing in every figure of a page (colour, dash, marker):
            0 with BN, 1 without, 2 and on whatever stands beside them.
        failed: How many runs diverged at each position, or empty for none; their values are not in ``y``.
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
        title: What the figure shows, in a sentence.
        caption: What to see in it, what the spread is.
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
    """A row of cells for each of many things, over a common horizontal axis; the colour is the value.

    Attributes:
        name: Identifier, unique in a page.
        title: What it shows, in a sentence.
        caption: What to see in it.
        x_label: What the columns are.
        row_label: What the rows are.
        value_label: What the colour is.
        x: Positions of the columns.
        rows: Names of the rows, from the top.
        values: A row for each of ``rows``, a value for each of ``x``; NaN leaves a gap.
        log: Whether equal steps of colour are equal ratios; a value of 0 has the least colour then.
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
