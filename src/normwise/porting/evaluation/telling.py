"""Checks that an evaluation proves something: constant values would agree with any other weights."""

from collections.abc import Sequence

import numpy as np

from normwise.porting.evaluation.call_record import CallRecord, ModelRecord
from normwise.porting.layers.layer import Layer
from normwise.porting.layers.torch_arrays import Array


def tells(call: CallRecord, tolerance: float) -> bool:
    """Return whether a call's outputs would differ for other weights, as far as its values show.

    They would not after a ReLU that blocks everything: then a layer gets zeros and returns its bias.
    """
    shown = next((one for one in (call.output, call.activated, call.last) if one is not None), None)
    return varies(call.input.ravel(), tolerance) and (shown is None or varies(shown, tolerance))


def varies(value: Array, tolerance: float) -> bool:
    """Return whether some feature varies by more than ``tolerance`` of the largest value.

    It may vary between rows, or, if there is only one row, between features.
    """
    rows = value.astype(np.float64).reshape(-1, value.shape[-1] if value.ndim > 1 else 1)
    if not rows.size or not np.isfinite(rows).all():
        return False
    rows = rows.ravel()[:, None] if len(rows) == 1 else rows
    return bool(np.ptp(rows, axis=0).max() > tolerance * np.abs(rows).max())


def silent(layers: Sequence[Layer], record: ModelRecord, tolerance: float) -> int:
    """Return the number of layers and outputs about which an evaluation proves nothing."""
    calls = [record.calls[id(layer)] for layer in layers if id(layer) in record.calls]
    return sum(not tells(call, tolerance) for call in calls) + sum(
        not varies(output, tolerance) for output in record.outputs
    )
