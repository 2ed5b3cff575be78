"""The figures of a recording: all layers over time as heat maps, then each layer by itself."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from normwise.records import (
    Figure,
    HeatMap,
    LayerPoint,
    OverChannels,
    Recording,
    Series,
    WatchedLayer,
)
from normwise.report.figures.tables import evenly
from normwise.report.numbers import count, number
from normwise.report.views.recording_view import course, drift, factor, layer_name, shift

_MOST_COLUMNS, _MOST_POINTS = 200, 60
# Not 0 and 1: those mean with and without batch normalization.
_SHIFT, _NOISE, _WEIGHT, _BIAS, _OUTPUT = 2, 3, 4, 5, 6
_UNIT_STYLES = (2, 3, 4, 5, 6, 7)


@dataclass(frozen=True)
class LayerFigures:
    """A layer by itself: where it is, what it is in a few words, its course."""

    path: str
    said: str
    figures: tuple[Figure, ...]


def heat_maps(recording: Recording) -> tuple[HeatMap, ...]:
    """All layers over the steps, a map for each quantity of which anything is known."""
    points = [recording.points[i] for i in evenly(len(recording.points), _MOST_COLUMNS)]
    rms = "Root mean square over channels"

    def heat_map(
        name: str,
        title: str,
        value_label: str,
        caption: str,
        of: Callable[[LayerPoint], float],
        least: float = math.nan,
        greatest: float = math.nan,
    ) -> HeatMap:
        return HeatMap(
            name=name,
            title=title,
            caption=caption + _left_out(recording, len(points)),
            x_label="step",
            row_label="layer",
            value_label=value_label,
            x=tuple(float(point.step) for point in points),
            rows=tuple(layer_name(layer.path) for layer in recording.layers),
            values=tuple(
                tuple(
                    of(point.layers[layer.path]) if layer.path in point.layers else math.nan
                    for point in points
                )
                for layer in recording.layers
            ),
            log=True,
            least=least,
            greatest=greatest,
        )

    maps = (
        heat_map(
            "drift", "Error of the running statistics", "off by (σ)",
            "How far the values that a layer normalises by its running statistics are from those of training, beyond "
            "the noise of a batch. The scale is the same on every page: up to 0.1 σ is fine, 0.5 σ or more is bad. A "
            "gap is a layer whose running statistics had not learnt from data.", drift, 0.02, 5,
        ),
        heat_map(
            "shift", "Shift of the batch's mean from the running mean", "shift (σ)",
            f"{rms}, in running σ. A layer that stays at the upper end of the scale drifts: its running mean lags "
            "behind the weights.", shift, 0.02, 5,
        ),
        heat_map(
            "variances", "Batch and running variance", "factor between them",
            "The factor between the two, either way, from the root mean square of its logarithm over channels; at 1 "
            "they agree.", factor, 1, 30,
        ),
        heat_map(
            "noise", "Noise of the batch's mean", "noise (σ)",
            f"{rms}, in σ, estimated from the scatter of the samples' means within the batch. A shift that is not "
            "larger is not drift.", lambda point: point.noise_mean.rms, 0.02, 5,
        ),
        heat_map(
            "output-gradient", "Gradient at the layer's output", "norm",
            "Euclidean norm in the backward pass of the step.", lambda point: point.output_grad,
        ),
        heat_map(
            "weight-gradient", "Gradient of γ", "norm",
            "Euclidean norm in the backward pass of the step.", lambda point: point.weight_grad,
        ),
        heat_map(
            "weight", "γ", "root mean square",
            f"{rms}: 1 in a new layer. Where it goes to 0, the layer passes no signal on.",
            lambda point: _rms(point.weight), 0.1, 10,
        ),
    )  # fmt: skip
    return tuple(one for one in maps if any(math.isfinite(value) for row in one.values for value in row))


def layer_figures(recording: Recording) -> tuple[LayerFigures, ...]:
    """Each layer that was reached, with figures of what is known of it."""
    points = [recording.points[i] for i in evenly(len(recording.points), _MOST_POINTS)]
    return tuple(
        LayerFigures(layer_name(layer.path), _said(layer, found[-1][1]), _figures(found, f"layer-{i}"))
        for i, layer in enumerate(recording.layers)
        if (found := course(points, layer.path))
    )


def _said(layer: WatchedLayer, last: LayerPoint) -> str:
    width = f", {count(layer.channels, 'channel')}" if layer.channels else ""
    return f"{layer.kind}{width}, shift {number(shift(last))} σ, noise {number(last.noise_mean.rms)} σ"


def _figures(points: list[tuple[int, LayerPoint]], layer: str) -> tuple[Figure, ...]:
    steps = tuple(float(step) for step, _ in points)

    def line(label: str, style: int, of: Callable[[LayerPoint], float]) -> Series:
        return Series(label, steps, tuple(of(point) for _, point in points), style=style)

    def figure(
        name: str, title: str, y_label: str, caption: str, series: Iterable[Series], *, log: bool
    ) -> Figure:
        known = tuple(one for one in series if any(map(math.isfinite, one.y)))
        return Figure(f"{layer}-{name}", title, caption, "step", y_label, known, y_log=log)

    figures = (
        figure(
            "drift", "Shift and noise", "σ",
            "Root mean squares over channels. Where the shift is as small as the noise, the running mean is as good "
            "as it can be.",
            (
                line("shift of the batch's mean from the running mean", _SHIFT, shift),
                line("noise of the batch's mean", _NOISE, lambda point: point.noise_mean.rms),
            ),
            log=True,
        ),
        figure(
            "input", "What the layer gets", "input",
            "Lines are the medians of a channel's values in a batch, bands reach from the 15th to the 85th percentile.",
            _percentiles(points, "input"), log=False,
        ),
        figure(
            "output", "What the units after it get", "output",
            "The same after normalising, γ and β, before a residual and an activation.",
            _percentiles(points, "output"), log=False,
        ),
        figure(
            "parameters", "γ and β", "root mean square", "Over channels.",
            (
                line("γ", _WEIGHT, lambda point: _rms(point.weight)),
                line("β", _BIAS, lambda point: _rms(point.bias)),
            ),
            log=False,
        ),
        figure(
            "gradients", "Gradients", "norm", "Euclidean norms in the backward pass of the step.",
            (
                line("of γ", _WEIGHT, lambda point: point.weight_grad),
                line("of β", _BIAS, lambda point: point.bias_grad),
                line("at the output", _OUTPUT, lambda point: point.output_grad),
            ),
            log=True,
        ),
    )  # fmt: skip
    return tuple(one for one in figures if one.series)


def _percentiles(points: list[tuple[int, LayerPoint]], side: str) -> list[Series]:
    found: dict[int, list[tuple[float, ...]]] = {}
    for step, point in points:
        for unit in point.units:
            found.setdefault(unit.channel, []).append((float(step), *getattr(unit, side)))
    series = []
    for style, (channel, values) in enumerate(found.items()):
        steps, low, middle, high = zip(*values, strict=True)
        series.append(
            Series(f"channel {channel}", steps, middle, low, high, _UNIT_STYLES[style % len(_UNIT_STYLES)])
        )
    return series


def _rms(values: OverChannels | None) -> float:
    return math.nan if values is None else values.rms


def _left_out(recording: Recording, shown: int) -> str:
    total = len(recording.points)
    return "" if shown == total else f" {shown} of {total} records, evenly chosen."
