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
    """

    label: str
    x: tuple[float, ...] | tuple[str, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    style: int = 0


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
