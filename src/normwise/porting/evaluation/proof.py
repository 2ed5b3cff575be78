"""Comparison of two models' evaluations of one example, layer by layer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from normwise.errors import ModelError
from normwise.porting.evaluation.call_record import CallRecord, ModelRecord
from normwise.porting.evaluation.telling import tells, varies
from normwise.porting.layers.torch_arrays import Array
from normwise.porting.pairs import Pair

_NORMS = ("batch_norm", "layer_norm")


@dataclass(frozen=True)
class Proof:
    """Differences of two evaluations, relative to the largest value.

    Attributes:
        layers: Difference of each pair; NaN if the two could not be compared by themselves, or the example proves
            nothing about them.
        outputs: Difference of the models' outputs; NaN in the same cases.
        notes: Sentences on comparisons that were not possible.
    """

    layers: tuple[float, ...]
    outputs: float
    notes: tuple[str, ...]


def compare(
    pairs: Sequence[Pair], source: ModelRecord, target: ModelRecord, *, from_torch: bool, tolerance: float
) -> Proof:
    """Compare two evaluations, with layers in the order of the source's calls.

    Raises:
        ModelError: a layer's outputs, or those of the models, differ by more than ``tolerance`` of the largest; the
            error names the first such layer.
    """
    errors = {id(pair): math.nan for pair in pairs}
    order = {key: number for number, key in enumerate(source.calls)}
    uncalled, untold = [], []
    for pair in sorted(pairs, key=lambda pair: order.get(id(pair.source), len(order))):
        one, other = source.calls.get(id(pair.source)), target.calls.get(id(pair.target))
        if one is None or other is None:
            uncalled.append(pair.source.path)
            continue
        keras_layer = pair.target if from_torch else pair.source
        found = _outputs(one, other)
        if found is None:
            continue
        ordered = keras_layer.order if pair.kind in _NORMS else None
        errors[id(pair)] = error = _difference(
            *_in_torch_order(*found, ordered, from_torch), _real(one, other)
        )
        if not error <= tolerance:
            inputs = _in_torch_order(one.input, other.input, keras_layer.order, from_torch)
            before = _difference(*inputs, _real(one, other))
            raise ModelError(_said(pair, error, before, tolerance))
        if not tells(one, tolerance):
            errors[id(pair)] = math.nan
            untold.append(pair.source.path or "the model")
    notes = [f"the example does not reach {', '.join(uncalled)}: moved, and not compared"] if uncalled else []
    if untold:
        notes.append(
            f"not proven: on the example the inputs or outputs of {', '.join(untold)} are the same everywhere, as "
            "behind a ReLU that lets nothing through, so that other weights would agree as well; pass example=, of "
            "inputs that make a difference"
        )
    outputs, said = _model_outputs(pairs, source, target, tolerance)
    return Proof(tuple(errors[id(pair)] for pair in pairs), outputs, (*notes, *said))


def output_difference(source: ModelRecord, target: ModelRecord) -> float:
    """Return the largest difference of two models' outputs, relative to the largest value of each output."""
    both = zip(source.outputs, target.outputs, strict=False)
    return max((_in_any_layout(one, other) for one, other in both), default=math.nan)


def _said(pair: Pair, error: float, before: float, tolerance: float) -> str:
    if before <= tolerance:
        why = "their inputs agree, so that what differs is of the layer itself, such as its padding"
    else:
        why = (
            f"their inputs differ by {before:.1e} already, so that what differs stands before it, such as an "
            "activation, a pooling, or a reshape in another order of axes than that of keras.layers.Flatten"
        )
    return (
        f"{pair} give other outputs on the example, the first that do: they differ by {error:.1e} of the largest, "
        f"{tolerance:.1e} is allowed; {why}. The target is left as it was"
    )


def _outputs(one: CallRecord, other: CallRecord) -> tuple[Array, Array] | None:
    """Return the values of both layers that are comparable."""
    for name in ("output", "activated", "last"):
        found = getattr(one, name), getattr(other, name)
        if found[0] is not None and found[1] is not None:
            return found
    return None


def _in_torch_order(one: Array, other: Array, order: Array | None, from_torch: bool) -> tuple[Array, Array]:
    """Return both values, with Keras's features in torch's order."""
    if order is None:
        return one, other
    inverse = np.argsort(order)
    return (one, other[..., inverse]) if from_torch else (one[..., inverse], other)


def _real(one: CallRecord, other: CallRecord) -> Array | None:
    """Return the positions that count in both."""
    if one.real is None or other.real is None:
        return one.real if other.real is None else other.real
    length = min(one.real.shape[1], other.real.shape[1])
    return one.real[:, :length] & other.real[:, :length]


def _difference(one: Array, other: Array, real: Array | None = None) -> float:
    """Return the largest difference relative to the first's largest value; infinite if shapes differ."""
    if real is not None and one.ndim == other.ndim == 3:
        length = min(one.shape[1], other.shape[1], real.shape[1])
        chosen = real[:, :length]
        if one.shape[0] == other.shape[0] == chosen.shape[0]:
            one, other = one[:, :length][chosen], other[:, :length][chosen]
    if one.shape != other.shape:
        return math.inf
    if not one.size:
        return 0.0
    a, b = one.astype(np.float64), other.astype(np.float64)
    # Values that are NaN in both are not compared.
    error = np.where(a == b, 0, np.abs(a - b)).max()
    largest = np.where(np.isfinite(a), np.abs(a), 0).max()
    return math.inf if math.isnan(error) else float(error / max(largest, np.finfo(np.float32).tiny))


def _model_outputs(
    pairs: Sequence[Pair], source: ModelRecord, target: ModelRecord, tolerance: float
) -> tuple[float, list[str]]:
    """Return the difference of the models' outputs, or why they could not be compared."""
    if len(source.outputs) != len(target.outputs):
        return math.nan, [
            f"the source returns {len(source.outputs)} tensors and the target {len(target.outputs)}: its layers are "
            "compared, and not these"
        ]
    error = output_difference(source, target)
    if error <= tolerance and source.outputs and not any(varies(one, tolerance) for one in source.outputs):
        return math.nan, [
            "not proven: the source returns the same for all of the example; pass another example="
        ]
    if error <= tolerance or not source.outputs:
        return error, []
    if _differ_by_an_end(pairs, source, target, tolerance):
        return math.nan, [
            "one of the models ends in a function, such as a softmax, that the other has not: their layers are "
            "compared, and not their outputs"
        ]
    raise ModelError(
        f"all layers give the same outputs on the example, but the models do not: they differ by {error:.1e} of the "
        f"largest, {tolerance:.1e} is allowed; what differs stands behind the last layer with weights. The target is "
        "left as it was"
    )


def _in_any_layout(one: Array, other: Array) -> float:
    """Return the difference, with the channels of either moved if that fits."""
    layouts = [(one, other)]
    if one.ndim == other.ndim > 2:
        layouts += [(np.moveaxis(one, 1, -1), other), (np.moveaxis(one, -1, 1), other)]
    return min(_difference(*layout) for layout in layouts)


def _differ_by_an_end(
    pairs: Sequence[Pair], source: ModelRecord, target: ModelRecord, tolerance: float
) -> bool:
    """Return whether one model's output is the other's last layer before its activation."""
    if len(source.outputs) != 1 or not source.calls or not target.calls:
        return False
    ends = [record.calls[list(record.calls)[-1]].output for record in (source, target)]
    outputs = (source.outputs[0], target.outputs[0])
    if outputs[0].shape != outputs[1].shape:
        return False
    return any(
        end is not None and end.shape == shown.shape and _difference(end, shown) <= tolerance
        for end, shown in zip(ends, reversed(outputs), strict=True)
    )
