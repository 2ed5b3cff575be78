"""A figure as the traces and axes that Plotly draws; colours are the page's, because they have themes."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from normwise.records import Figure, Series
from normwise.report.numbers import position, spread

# As many as the page has colours. A style differs from every other in dash and in marker as well, so that
# it is told apart in print and by eyes that see no colours.
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "8px 2px 2px 2px", "2px 6px")
MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "triangle-down", "star", "cross")
STYLES = len(DASHES)

# Characters a line that a phone has room for.
_LEGEND_WIDTH, _X_LABEL_WIDTH, _Y_LABEL_WIDTH, _CATEGORY_WIDTH = 38, 40, 28, 16
_MARKERS_A_LINE = 16
_MOST_DECADES = 8
_MOST_SIDE_BY_SIDE = 6


def drawing(figure: Figure) -> dict[str, Any]:
    """Traces and layout of the figure as plain JSON; ``meta`` says each trace's style and role."""
    categories = list(dict.fromkeys(x for series in figure.series for x in series.x if isinstance(x, str)))
    columns = [_places(figure, categories, group) for group in range(len(figure.series))]
    traces: list[dict[str, Any]] = []
    if figure.lines:
        # All bands first: none may cover a line.
        traces += [
            _band(figure, series, x, group)
            for group, (series, x) in enumerate(zip(figure.series, columns, strict=True))
            if series.low
        ]
    traces += [
        _trace(figure, series, x, group, shared_hover=figure.lines and not categories)
        for group, (series, x) in enumerate(zip(figure.series, columns, strict=True))
    ]
    heights = [y for series in figure.series for y in (*series.y, *series.low, *series.high)]
    x_axis = (
        _category_axis(categories) if categories else _axis(figure.x_log, (x for c in columns for x in c))
    )
    y_axis = _axis(figure.y_log, _drawable(heights, figure.y_log), percent=figure.y_percent)
    layout = {
        "xaxis": x_axis | {"title": {"text": wrapped(figure.x_label, _X_LABEL_WIDTH)}},
        "yaxis": y_axis | {"title": {"text": wrapped(figure.y_label, _Y_LABEL_WIDTH)}},
        "hovermode": "x unified" if figure.lines and not categories else "closest",
    }
    return {"traces": traces, "layout": layout}


def _trace(
    figure: Figure, series: Series, x: list[float | None], group: int, *, shared_hover: bool
) -> dict[str, Any]:
    heights = _drawable(series.y, figure.y_log)
    y = [None if at is None else value for at, value in zip(x, heights, strict=True)]
    style = series.style % STYLES
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers" if figure.lines else "markers",
        "name": wrapped(series.label, _LEGEND_WIDTH),
        "x": x,
        "y": y,
        "text": [_hover(figure, series, i, with_place=not shared_hover) for i in range(len(y))],
        "hovertemplate": "%{text}",
        "marker": {"symbol": MARKERS[style], "size": 8},
        "meta": {"style": style, "role": "series"},
        "legendgroup": str(group),
    }
    if figure.lines:
        trace["line"] = {"dash": DASHES[style], "width": 2}
    # A point between two gaps is on no line and in no band: it needs its marker and a bar.
    barred = _isolated(y) if figure.lines else y
    if series.low and any(value is not None for value in barred):
        trace["error_y"] = _bars(series, barred)
    if figure.lines and not any(value is not None for value in barred):
        trace["marker"]["maxdisplayed"] = _MARKERS_A_LINE
    return trace


def _band(figure: Figure, series: Series, x: list[float | None], group: int) -> dict[str, Any]:
    """Return the area between low and high: a polygon for each stretch without a gap."""
    columns = (x, *(_drawable(values, figure.y_log) for values in (series.y, series.low, series.high)))
    outline_x: list[float | None] = []
    outline_y: list[float | None] = []
    stretch: list[tuple[Any, ...]] = []
    for row in [*zip(*columns, strict=True), (None,)]:
        if None not in row:
            stretch.append(row)
            continue
        if len(stretch) > 1:
            # Plotly closes each polygon at the None that ends it.
            back = stretch[::-1]
            outline_x += [*(r[0] for r in stretch), *(r[0] for r in back), None]
            outline_y += [*(r[2] for r in stretch), *(r[3] for r in back), None]
        stretch = []
    return {
        "type": "scatter",
        "mode": "lines",
        "x": outline_x,
        "y": outline_y,
        "fill": "toself",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
        "meta": {"style": series.style % STYLES, "role": "band"},
        "legendgroup": str(group),
    }


def _bars(series: Series, y: Sequence[float | None]) -> dict[str, Any]:
    """Error bars; Plotly takes lengths, and on a logarithmic axis cuts a bar that reaches below zero."""

    def lengths(ends: Sequence[float], sign: int) -> list[float | None]:
        return [
            None if value is None or not math.isfinite(end) else sign * (end - value)
            for value, end in zip(y, ends, strict=True)
        ]

    return {
        "type": "data",
        "symmetric": False,
        "array": lengths(series.high, 1),
        "arrayminus": lengths(series.low, -1),
        "thickness": 1.5,
        "width": 4,
    }


def _places(figure: Figure, categories: Sequence[str], group: int) -> list[float | None]:
    """Return the positions of a series' points: a category is its index, shifted if series would overlap."""
    taken = [x for series in figure.series for x in set(series.x) if isinstance(x, str)]
    aside = 0.0
    if not figure.lines and len(taken) > len(categories):
        total = len(figure.series)
        aside = (group - (total - 1) / 2) * min(0.15, 0.7 / total)
    return [
        categories.index(x) + aside if isinstance(x, str) else _drawable([x], figure.x_log)[0]
        for x in figure.series[group].x
    ]


def _category_axis(categories: Sequence[str]) -> dict[str, Any]:
    # Wrapped labels side by side would run into one another: many stand upright, in one line each.
    upright = len(categories) > _MOST_SIDE_BY_SIDE
    axis: dict[str, Any] = {
        "type": "linear",
        "tickvals": list(range(len(categories))),
        "ticktext": [literal(c) if upright else wrapped(c, _CATEGORY_WIDTH) for c in categories],
        "range": [-0.5, len(categories) - 0.5],
        # Rather a label at an angle than none.
        "ticklabeloverflow": "allow",
    }
    return axis | {"tickangle": -90} if upright else axis


def _axis(log: bool, values: Iterable[float | None], *, percent: bool = False) -> dict[str, Any]:
    axis: dict[str, Any] = {"type": "linear"}
    if log:
        axis = {"type": "log"} | _log_ticks([value for value in values if value is not None])
    return axis | {"tickformat": "~%"} if percent else axis


def _log_ticks(values: Sequence[float]) -> dict[str, Any]:
    """Ticks at powers of ten, or at 1, 2 and 5 times those where there are few: Plotly says "2" for 20."""
    if not values:
        return {}
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    if last - first > 2:
        return {"dtick": math.ceil((last - first) / _MOST_DECADES)}
    ticks = [factor * 10.0**power for power in range(first - 1, last + 1) for factor in (1, 2, 5)]
    return {"tickvals": ticks}


def _drawable(values: Iterable[float | str], log: bool) -> list[float | None]:
    """Return the values, with None for those that the axis can't show."""
    return [
        value if not isinstance(value, str) and math.isfinite(value) and (value > 0 or not log) else None
        for value in values
    ]


def _isolated(y: Sequence[float | None]) -> list[float | None]:
    """Return the values with gaps on both sides, with None for all others."""
    padded = [None, *y, None]
    return [
        here if before is None and after is None else None
        for before, here, after in zip(padded, y, padded[2:], strict=False)
    ]


def _hover(figure: Figure, series: Series, i: int, *, with_place: bool) -> str:
    low, high = (series.low[i], series.high[i]) if series.low else (math.nan, math.nan)
    value = spread(series.y[i], low, high, percent=figure.y_percent)
    return f"{literal(position(series.x[i]))}: {value}" if with_place else value


def wrapped(text: str, width: int) -> str:
    """Return the text wrapped to lines of ``width`` characters, in Plotly's markup."""
    return "<br>".join(map(literal, textwrap.wrap(text, width, break_long_words=False)))


def literal(text: str) -> str:
    """Return the text escaped for Plotly, which interprets a few HTML tags and entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
