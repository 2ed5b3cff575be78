"""A heat map as the trace and axes that Plotly draws, and as a table; colours are the page's."""

import math
from typing import Any

from normwise.records import HeatMap
from normwise.report.figures.drawing import literal, wrapped
from normwise.report.figures.tables import FigureTable, evenly
from normwise.report.numbers import number, position

_LABEL_WIDTH = 24
_MOST_LABELS = 60
_FEWEST_TICKS, _MOST_TICKS = 3, 8


def heat_map_drawing(heat_map: HeatMap) -> dict[str, Any]:
    """Trace and layout as plain JSON, as ``drawing`` gives them of a figure."""
    rows = range(len(heat_map.rows))
    cells = _cells(heat_map)
    known = [value for row in cells for value in row if value is not None]
    least, greatest = _ends(heat_map) or ((min(known), max(known)) if known else (0.0, 1.0))
    if least == greatest:
        greatest = least + 1.0
    ticks = _ticks(least, greatest, log=heat_map.log)
    trace = {
        "type": "heatmap",
        "x": list(heat_map.x),
        "y": list(rows),
        "z": cells,
        "zmin": least,
        "zmax": greatest,
        "text": [
            [
                f"{literal(name)}<br>{heat_map.x_label} {position(x)}: {number(v)}"
                for x, v in zip(heat_map.x, row, strict=True)
            ]
            for name, row in zip(heat_map.rows, heat_map.values, strict=True)
        ],
        "hovertemplate": "%{text}<extra></extra>",
        "colorbar": {
            "title": {"text": wrapped(heat_map.value_label, _LABEL_WIDTH), "side": "right"},
            "tickvals": ticks,
            "ticktext": [position(float(f"{10.0**tick if heat_map.log else tick:.3g}")) for tick in ticks],
        },
        "meta": {"role": "cells"},
    }
    # More names than there is room for would cover one another.
    named = list(rows)[:: math.ceil(len(rows) / _MOST_LABELS) or 1]
    layout = {
        "xaxis": {"type": "linear", "showgrid": False, "title": {"text": literal(heat_map.x_label)}},
        "yaxis": {
            "type": "linear",
            "tickvals": named,
            "ticktext": [literal(_end_of(heat_map.rows[row])) for row in named],
            "range": [len(rows) - 0.5, -0.5],
            "showgrid": False,
            "title": {"text": ""},
        },
        "hovermode": "closest",
    }
    return {"traces": [trace], "layout": layout}


def heat_map_height(heat_map: HeatMap) -> int:
    """Return the height of the drawing in rem: enough for its rows, and at most that of two screens."""
    return min(60, 8 + math.ceil(1.15 * len(heat_map.rows)))


def heat_map_table(heat_map: HeatMap, *, most: int) -> FigureTable:
    """Return one line per row of the map, with at most ``most`` evenly chosen columns."""
    kept = evenly(len(heat_map.x), most)
    return FigureTable(
        header=(heat_map.row_label, *(f"{heat_map.x_label} {position(heat_map.x[i])}" for i in kept)),
        rows=tuple(
            (name, *(number(row[i]) for i in kept))
            for name, row in zip(heat_map.rows, heat_map.values, strict=True)
        ),
        positions=len(heat_map.x),
    )


def _cells(heat_map: HeatMap) -> list[list[float | None]]:
    """Return the values on the scale in which colours are linear; None for gaps."""
    finite = [v for row in heat_map.values for v in row if math.isfinite(v)]
    smallest = min((v for v in finite if v > 0), default=1.0)

    def cell(value: float) -> float | None:
        if not math.isfinite(value):
            return None
        return math.log10(max(value, smallest)) if heat_map.log else value

    return [[cell(value) for value in row] for row in heat_map.values]


def _ends(heat_map: HeatMap) -> tuple[float, float] | None:
    """Return the fixed ends of the colour scale, in what it is linear in; None where it has none."""
    if math.isnan(heat_map.least):
        return None
    least, greatest = heat_map.least, heat_map.greatest
    return (math.log10(least), math.log10(greatest)) if heat_map.log else (least, greatest)


def _ticks(least: float, greatest: float, *, log: bool) -> list[float]:
    """Places on the colour scale: on a logarithmic one powers of ten, with their multiples where there are few."""
    if log:
        powers = range(math.floor(least), math.ceil(greatest) + 1)
        for factors in ((1,), (1, 2, 5), (1, 1.2, 1.5, 2, 3, 5, 7)):
            ticks = [power + math.log10(factor) for power in powers for factor in factors]
            ticks = [tick for tick in ticks if least <= tick <= greatest]
            if len(ticks) >= _FEWEST_TICKS:
                return ticks[:: math.ceil(len(ticks) / _MOST_TICKS)]
    return [least + (greatest - least) * i / _FEWEST_TICKS for i in range(_FEWEST_TICKS + 1)]


def _end_of(name: str) -> str:
    # What tells layers apart is at the end of their paths.
    return name if len(name) <= _LABEL_WIDTH else "…" + name[-_LABEL_WIDTH + 1 :]
