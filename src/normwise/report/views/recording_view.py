"""Content of a recording's reports: the drift of each layer, as rows."""

import math
from collections.abc import Callable, Iterable

from normwise.records import LayerPoint, Recording, WatchedLayer, WatchedStep
from normwise.report.numbers import MISSING, count, number
from normwise.report.views.study_view import day

RECORDING_TITLE = "Batch normalization while training"
RECORDING_HEADER = (
    "Layer",
    "Shift, last",
    "Shift, worst",
    "Noise",
    "Shift over noise",
    "Variances, last",
    "Variances, worst",
    "Noise of variance",
    "Remark",
)
#: The same for a terminal, without the last two.
SHORT_HEADER = ("Layer", "shift", "worst", "noise", "over", "variances", "worst")
LEGEND = (
    "Shift: from the running mean to the batch's, in running standard deviations σ. Noise: how far the batch's mean "
    "would scatter from batch to batch if its samples were independent; behind other BN layers it scatters less. A "
    "shift up to the noise is none; of many times the noise, it means that evaluation sees other numbers than "
    "training. Variances: the factor between the batch's and the running one, either way. All are root mean squares "
    "over channels, in the last record and in the worst since the running statistics have learnt from data."
)


def recording_summary(recording: Recording) -> str:
    """Return sentences on the recording and on the layer with the largest drift."""
    points, layers = recording.points, count(len(recording.layers), "layer")
    if not points:
        return f"Nothing has been recorded yet of {layers}."
    first, last = points[0], points[-1]
    reach = f"at step {last.step}" if first is last else f"from step {first.step} to {last.step}"
    text = f"{count(len(points), 'record')} of {layers}, {reach}."
    shifts = [(value, path) for path, point in last.layers.items() if not math.isnan(value := shift(point))]
    if not shifts:
        return f"{text} In the last one no layer had running statistics that had learnt from data."
    value, path = max(shifts)
    return (
        f"{text} In the last one {layer_name(path)} drifted the most: the batch's mean lay {number(value)} σ from the "
        f"running mean, where the noise of a batch is {number(last.layers[path].noise_mean.rms)} σ."
    )


def layer_rows(recording: Recording) -> tuple[tuple[str, ...], ...]:
    """Return a layer as the cells of ``RECORDING_HEADER``."""
    return tuple(_row(layer, course(recording.points, layer.path)) for layer in recording.layers)


def short_rows(recording: Recording) -> tuple[tuple[str, ...], ...]:
    """Return a layer as the cells of ``SHORT_HEADER``."""
    return tuple(
        tuple(cell.split(" (step")[0] for cell in row[: len(SHORT_HEADER)]) for row in layer_rows(recording)
    )


def recording_rows(recording: Recording) -> tuple[tuple[str, str], ...]:
    """Return the recording as names and values."""
    kinds = ", ".join(dict.fromkeys(layer.kind for layer in recording.layers))
    return (
        ("Begun", day(recording.begun)),
        ("Interval", count(recording.every, "step")),
        ("Records", str(len(recording.points))),
        ("Layers", f"{len(recording.layers)} ({kinds})"),
    )


def shift(point: LayerPoint) -> float:
    """Return the distance of the batch's mean from a running mean that has seen data; NaN if there is none."""
    return math.nan if point.shift is None or point.untaught else point.shift.rms


def factor(point: LayerPoint) -> float:
    """Return the factor between the batch's and such a running variance, 1 or more."""
    return math.nan if point.log_ratio is None or point.untaught else math.exp(point.log_ratio.rms)


def course(points: Iterable[WatchedStep], path: str) -> list[tuple[int, LayerPoint]]:
    """Return the layer's records with their steps."""
    return [(point.step, point.layers[path]) for point in points if path in point.layers]


def layer_name(path: str) -> str:
    """Return a layer's path; the model itself has none."""
    return path or "the model"


def _row(layer: WatchedLayer, points: list[tuple[int, LayerPoint]]) -> tuple[str, ...]:
    if not points:
        return (layer_name(layer.path), *[MISSING] * (len(RECORDING_HEADER) - 2), "never called")
    _, last = points[-1]
    noise = last.noise_mean.rms
    return (
        layer_name(layer.path),
        number(shift(last)),
        _worst(points, shift),
        number(noise),
        number(shift(last) / noise if noise > 0 else math.nan),
        number(factor(last)),
        _worst(points, factor),
        number(last.noise_var.rms),
        _remark(last),
    )


def _worst(points: list[tuple[int, LayerPoint]], of: Callable[[LayerPoint], float]) -> str:
    known = [(value, step) for step, point in points if not math.isnan(value := of(point))]
    if not known:
        return MISSING
    value, step = max(known)
    return f"{number(value)} (step {step})"


def _remark(point: LayerPoint) -> str:
    remarks = [] if point.by_batch else ["normalises by running statistics"]
    if point.running_mean is None:
        remarks.append("has no running statistics")
    if point.calls > 1:
        remarks.append(f"called {point.calls} times a step")
    return ", ".join(remarks)
