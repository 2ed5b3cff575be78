"""Content of a recording's reports: the drift of each layer, as rows."""

import math
from collections.abc import Callable, Iterable
from statistics import median

from normwise.records import LayerPoint, Recording, WatchedLayer, WatchedStep
from normwise.records.calibration import BAD, FINE
from normwise.report.numbers import MISSING, count, number
from normwise.report.views.study_view import day

RECORDING_TITLE = "Batch normalization while training"
RECORDING_HEADER = (
    "Layer",
    "Verdict",
    "Off by",
    "Shift, last",
    "Shift, worst",
    "Noise",
    "Variances, last",
    "Variances, worst",
)
#: Header of the terminal's table, without the last column.
SHORT_HEADER = ("Layer", "verdict", "off by", "shift", "worst", "noise", "variances")
LEGEND = (
    "Off by: error that the running statistics make in the layer's normalised values, in standard deviations σ, beyond "
    f"the noise of a batch; the median of the last records. Up to {FINE:g} σ is fine, {BAD:g} σ or more is bad. Shift: "
    "distance of the batch's mean from the running mean. Noise: how far the batch's mean would scatter from batch to "
    "batch if its samples were independent. Variances: factor between the batch's and the running variance, either "
    "way. All are root mean squares over channels, in the last record and in the worst since the running statistics "
    "have learnt from data."
)
#: Number of last records that a verdict is of: one batch alone may be unusual.
_LAST = 5
#: Package of a framework's operations, and name of the data that they take.
_TOOLS = {"torch": ("normwise", "loader"), "keras": ("normwise.keras", "data")}


def recording_verdict(recording: Recording) -> str:
    """Return the judgement of the running statistics at the end of the recording, in a sentence."""
    off = {layer.path: off_by(recording, layer.path) for layer in recording.layers}
    known = {path: value for path, value in off.items() if not math.isnan(value)}
    if not recording.points:
        return "Nothing has been recorded yet."
    if not known:
        return "No layer has running statistics that have learnt from data, so there is nothing to judge."
    worst = max(known, key=lambda path: known[path])
    number_of = count(len(known), "layer")
    value = f"{layer_name(worst)}, by {number(known[worst])} σ"
    for verdict, words in (("bad", "far from the batches"), ("poor", "somewhat off")):
        found = sum(_verdict(one) == verdict for one in known.values())
        if found:
            return f"Running statistics are {words} in {found} of {number_of} (worst: {value})."
    return f"Running statistics follow the batches in {number_of} (the most off: {value})."


def recording_advice(recording: Recording) -> str:
    """Return what to do, in a sentence or two; empty where there is nothing to do."""
    package, data = _TOOLS[recording.framework]
    values = [off_by(recording, layer.path) for layer in recording.layers]
    verdicts = {_verdict(value) for value in values if not math.isnan(value)}
    if "bad" in verdicts:
        return (
            "Evaluation computes with other numbers than training. Before it, replace them: "
            f"{package}.calibrate(model, {data}). For the cause, ask {package}.diagnose(model, {data})."
        )
    if "poor" in verdicts:
        return (
            "While weights move fast, averages lag behind; with small batches they are noisy. If evaluation matters "
            f"now, calibrate first: {package}.calibrate(model, {data})."
        )
    return ""


def off_by(recording: Recording, path: str) -> float:
    """Return the median over the last records of a layer's drift; NaN if none has statistics that have learnt."""
    points = [point for _, point in course(recording.points[-_LAST:], path)]
    known = [value for point in points if not math.isnan(value := drift(point))]
    return median(known) if known else math.nan


def drift(point: LayerPoint) -> float:
    """Return the error of values that the running statistics normalise, in running σ, beyond the batch's noise.

    It is the root of the squared shift without the squared noise, and of the same for the standard deviation, whose
    relative error is half of that of the variance. NaN for a layer that training, too, normalises by its running
    statistics, and for one whose statistics have not learnt from data.
    """
    if point.shift is None or point.log_ratio is None or point.untaught or not point.by_batch:
        return math.nan
    mean = _beyond(point.shift.rms, point.noise_mean.rms)
    return math.hypot(mean, _beyond(point.log_ratio.rms, point.noise_var.rms) / 2)


def _beyond(value: float, noise: float) -> float:
    """Return what is left of a root mean square without the noise in it; of a single sample no noise is known."""
    return math.sqrt(max(0.0, value**2 - (0.0 if math.isnan(noise) else noise**2)))


def _verdict(value: float) -> str:
    if math.isnan(value):
        return MISSING
    return "fine" if value <= FINE else "poor" if value < BAD else "bad"


def recording_summary(recording: Recording) -> str:
    """Return a sentence on what was recorded."""
    points, layers = recording.points, count(len(recording.layers), "layer")
    if not points:
        return f"Nothing has been recorded yet of {layers}."
    first, last = points[0], points[-1]
    reach = f"at step {last.step}" if first is last else f"from step {first.step} to {last.step}"
    return f"{count(len(points), 'record')} of {layers}, {reach}."


def recording_header(recording: Recording) -> tuple[str, ...]:
    """Return the header of :func:`layer_rows`: with remarks where there are any."""
    return (*RECORDING_HEADER, "Remark") if any(_remarks(recording)) else RECORDING_HEADER


def layer_rows(recording: Recording) -> tuple[tuple[str, ...], ...]:
    """Return one row of cells per layer, as :func:`recording_header` says."""
    rows = tuple(_row(recording, layer) for layer in recording.layers)
    remarks = _remarks(recording)
    return tuple((*row, remark) for row, remark in zip(rows, remarks, strict=True)) if any(remarks) else rows


def short_rows(recording: Recording) -> tuple[tuple[str, ...], ...]:
    """Return one row of cells per layer, as in ``SHORT_HEADER``."""
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


def _remarks(recording: Recording) -> list[str]:
    points = [course(recording.points, layer.path) for layer in recording.layers]
    return [_remark(found[-1][1]) if found else "never called" for found in points]


def _row(recording: Recording, layer: WatchedLayer) -> tuple[str, ...]:
    points = course(recording.points, layer.path)
    if not points:
        return (layer_name(layer.path), *[MISSING] * (len(RECORDING_HEADER) - 1))
    _, last = points[-1]
    off = off_by(recording, layer.path)
    return (
        layer_name(layer.path),
        _verdict(off),
        number(off),
        number(shift(last)),
        _worst(points, shift),
        number(last.noise_mean.rms),
        number(factor(last)),
        _worst(points, factor),
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
