"""A figure as a table: what can be read where nothing can be seen."""

import math
from dataclasses import dataclass

from normwise.records import Figure
from normwise.report.numbers import MISSING, position, spread


@dataclass(frozen=True)
class FigureTable:
    """A row for each position on the horizontal axis, a column for each series.

    Attributes:
        header: The label of the horizontal axis, then those of the series.
        rows: Cells as text; empty where a series has nothing at that position.
        positions: Number of rows before thinning.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    positions: int


def figure_table(figure: Figure, *, most: int | None = None) -> FigureTable:
    """Return the figure's data, with at most ``most`` evenly chosen rows."""
    cells: dict[float | str, list[list[str]]] = {}
    for column, series in enumerate(figure.series):
        for i, x in enumerate(series.x):
            row = cells.setdefault(x, [[] for _ in figure.series])
            low = series.low[i] if series.low else math.nan
            high = series.high[i] if series.high else math.nan
            value = spread(series.y[i], low, high, percent=figure.y_percent)
            row[column].append(_with_failed(value, series.failed[i] if series.failed else 0))
    # Categories keep the order in which they come; sorted() is stable.
    places = sorted(cells, key=lambda x: 0.0 if isinstance(x, str) else x)
    kept = evenly(len(places), most)
    return FigureTable(
        header=(figure.x_label, *(series.label for series in figure.series)),
        rows=tuple((position(places[i]), *("; ".join(cell) for cell in cells[places[i]])) for i in kept),
        positions=len(places),
    )


def _with_failed(value: str, failed: int) -> str:
    if not failed:
        return value
    return f"{failed} failed" if value == MISSING else f"{value}, {failed} failed"


def evenly(total: int, most: int | None) -> tuple[int, ...]:
    """At most ``most`` of ``total`` indices, evenly spaced, the first and the last among them."""
    if most is None or total <= most:
        return tuple(range(total))
    return tuple(round(i * (total - 1) / (most - 1)) for i in range(most))
