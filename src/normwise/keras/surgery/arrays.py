"""Arrays of NumPy from tensors of any framework."""

from typing import Any

import keras
import numpy as np

from normwise.keras.untyped import ops


def as_array(value: Any) -> np.ndarray[Any, Any]:
    """Return a tensor of TensorFlow, JAX or torch, or anything that NumPy takes, as an array."""
    if isinstance(value, keras.Variable):
        value = value.value
    if hasattr(value, "detach"):  # torch's, which NumPy takes with a warning, and bfloat16 not at all
        value = value.detach().cpu()
        return (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    if keras.ops.is_tensor(value):
        return ops.convert_to_numpy(value)
    return value.numpy() if hasattr(value, "numpy") else np.asarray(value)


def is_array(value: Any) -> bool:
    """Return whether a value is an array or a tensor of any framework."""
    return isinstance(value, np.ndarray) or (
        hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, type)
    )


def double(value: Any) -> np.ndarray[Any, Any]:
    """Return a tensor as an array of float64."""
    return as_array(value).astype(np.float64)


def channels_second(values: np.ndarray[Any, Any], axis: int) -> np.ndarray[Any, Any]:
    """Return values with channels on an axis from 1 on as ``(N, C, L)``; for one value per sample L is 1."""
    moved = np.moveaxis(values, axis, 1)
    return moved.reshape(*moved.shape[:2], -1) if moved.ndim != 2 else moved[..., None]
