"""Evaluations that tell something: one whose values are the same everywhere agrees with any other."""

from collections.abc import Sequence

import numpy as np

from normwise.porting.evaluation.call_record import CallRecord, ModelRecord
from normwise.porting.layers.layer import Layer
from normwise.porting.layers.torch_arrays import Array


def tells(call: CallRecord, tolerance: float) -> bool:
    """Return whether a call's outputs would differ for other weights, as far as its values show.

    They would not behind a ReLU that lets nothing through, where a layer is given zeros and gives its bias.
    """
    shown = next((one for one in (call.output, call.activated, call.last) if one is not None), None)
    return varies(call.input.ravel(), tolerance) and (shown is None or varies(shown, tolerance))


def varies(value: Array, tolerance: float) -> bool:
    """Return whether some feature varies by more than ``tolerance`` of the largest value.

    It does from row to row, or, where there is one row, from feature to feature.
    """
    rows = value.astype(np.float64).reshape(-1, value.shape[-1] if value.ndim > 1 else 1)
    if not rows.size or not np.isfinite(rows).all():
        return False
    rows = rows.ravel()[:, None] if len(rows) == 1 else rows
    return bool(np.ptp(rows, axis=0).max() > tolerance * np.abs(rows).max())


def silent(layers: Sequence[Layer], record: ModelRecord, tolerance: float) -> int:
    """Return how many of the layers an evaluation tells nothing of, and of the outputs."""
    calls = [record.calls[id(layer)] for layer in layers if id(layer) in record.calls]
    return sum(not tells(call, tolerance) for call in calls) + sum(
        not varies(output, tolerance) for output in record.outputs
    )
