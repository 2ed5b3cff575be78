"""Sums in pairs, as a GPU's threads add up theirs; the interpreter's own add one row after another to all before."""

from typing import Any

import numpy as np


def sum_in_pairs(values: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Return what ``numpy.sum`` does of an axis whose length is a power of 2, by halves."""
    kept = values.ndim
    if axis is None:
        values, axis = values.reshape(-1), 0
    values = np.moveaxis(values, axis, 0)
    while len(values) > 1:
        half = len(values) // 2
        values = values[:half] + values[half:]
    total = values[0]
    if keepdims:
        return total.reshape([1] * kept) if total.ndim == 0 else np.expand_dims(total, axis)
    return total
