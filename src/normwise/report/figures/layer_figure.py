"""A figure with the BN layers of a model along the horizontal axis, from its input to its output."""

import math
from dataclasses import dataclass, replace
from typing import Any

from normwise.records import Figure
from normwise.report.figures.drawing import drawing, literal
from normwise.report.numbers import number, position

#: Layers that have their names on the axis; more of them have numbers.
_MOST_NAMES = 24
_NAME_LENGTH = 20
#: Names of points outside of the band, where layers have numbers.
_MOST_NOTES = 3
#: Distance of two names, as a share of the axis, from which they don't run into one another.
_APART = 0.4


@dataclass(frozen=True)
class LayerFigure:
    """A figure of layers, on a scale that is the same for every model.

    Attributes:
        figure: Series by layer; each layer is a category.
        low, high: Ends of the vertical axis; values beyond are drawn at the end.
        unit: Unit of the values, for what is shown of a point.
        fine: Greatest value at which a layer is fine; NaN for none.
    """

    figure: Figure
    low: float
    high: float
    unit: str = ""
    fine: float = math.nan


def layer_drawing(shown: LayerFigure) -> dict[str, Any]:
    """Return traces and layout as plain JSON, as ``drawing`` does for a figure."""
    figure = shown.figure
    clamped = tuple(
        replace(series, y=tuple(_clamped(value, shown) for value in series.y)) for series in figure.series
    )
    drawn = drawing(replace(figure, series=clamped))
    for series, trace in zip(figure.series, drawn["traces"], strict=True):
        trace["text"] = [
            f"{literal(str(x))}: {_value(y, shown)}" for x, y in zip(series.x, series.y, strict=True)
        ]
        trace["marker"].pop("maxdisplayed", None)
        if len(series.x) > _MOST_NAMES:
            trace["marker"]["size"] = 2 if figure.lines else 5
    names = list(dict.fromkeys(str(x) for series in figure.series for x in series.x))
    layout = drawn["layout"]
    layout["xaxis"] = _x_axis(layout["xaxis"], names)
    layout["yaxis"] |= {"range": _ends(shown)}
    if figure.y_log:
        layout["yaxis"] = layout["yaxis"] | _decades(shown)
    if not math.isnan(shown.fine):
        drawn["traces"].insert(0, _band(shown, len(names)))
        if len(names) > _MOST_NAMES:
            layout["annotations"] = _notes(shown, names)
    return drawn


def _clamped(value: float, shown: LayerFigure) -> float:
    return value if math.isnan(value) else min(max(value, shown.low), shown.high)


def _value(value: float, shown: LayerFigure) -> str:
    if shown.figure.y_percent:
        return f"{number(100 * value)}%"
    return f"{number(value)} {shown.unit}".strip()


def _ends(shown: LayerFigure) -> list[float]:
    # A little more at both ends, or half of a marker there would be cut off.
    if shown.figure.y_log:
        low, high = math.log10(shown.low), math.log10(shown.high)
    else:
        low, high = shown.low, shown.high
    return [low - 0.03 * (high - low), high + 0.03 * (high - low)]


def _decades(shown: LayerFigure) -> dict[str, Any]:
    """Return ticks at powers of ten, in the same words as everywhere on the page."""
    first, last = round(math.log10(shown.low)), round(math.log10(shown.high))
    ticks = [10.0**power for power in range(first, last + 1, max(1, math.ceil((last - first) / 8)))]
    return {"dtick": None, "tickvals": ticks, "ticktext": [position(tick) for tick in ticks]}


def _x_axis(axis: dict[str, Any], names: list[str]) -> dict[str, Any]:
    if len(names) <= _MOST_NAMES:
        return axis | {"ticktext": [literal(_end_of(name)) for name in names], "tickangle": -90}
    step = _round_step(len(names))
    places = [0, *range(step - 1, len(names), step)]
    return axis | {"tickvals": places, "ticktext": [str(place + 1) for place in places], "tickangle": 0}


def _round_step(layers: int) -> int:
    return next(step for step in (5, 10, 20, 50, 100, 200, 500, 10**4, 10**6) if layers / step <= 12)


def _band(shown: LayerFigure, layers: int) -> dict[str, Any]:
    low, high = (10**end for end in _ends(shown)) if shown.figure.y_log else _ends(shown)
    top = min(shown.fine, high)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"fine: up to {position(shown.fine)} {shown.unit}",
        "x": [-0.5, layers - 0.5, layers - 0.5, -0.5],
        "y": [low, low, top, top],
        "fill": "toself",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "meta": {"style": 0, "role": "fine"},
    }


def _notes(shown: LayerFigure, names: list[str]) -> list[dict[str, Any]]:
    """Return the names of the worst layers outside of the band, as far as they have room."""
    series = shown.figure.series[0]
    outside = sorted(
        (
            (y, names.index(str(x)))
            for x, y in zip(series.x, series.y, strict=True)
            if not math.isnan(y) and y > shown.fine
        ),
        reverse=True,
    )
    kept: list[tuple[float, int]] = []
    for value, place in outside:
        if len(kept) == _MOST_NOTES:
            break
        if all(abs(place - other) > _APART * len(names) for _, other in kept):
            kept.append((value, place))
    return [_note(shown, names, place, _clamped(value, shown)) for value, place in kept]


def _note(shown: LayerFigure, names: list[str], place: int, value: float) -> dict[str, Any]:
    way = place / len(names)
    return {
        "x": place,
        "y": math.log10(value) if shown.figure.y_log else value,
        "text": literal(_end_of(names[place])),
        "showarrow": False,
        "xanchor": "left" if way < 0.25 else "right" if way > 0.75 else "center",
        "yshift": -14 if value >= shown.high else 14,
    }


def _end_of(name: str) -> str:
    # Layers differ at the end of their paths.
    return name if len(name) <= _NAME_LENGTH else "…" + name[-_NAME_LENGTH + 1 :]
