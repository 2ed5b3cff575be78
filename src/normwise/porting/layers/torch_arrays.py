"""Conversion of a torch layer's tensors to the common arrays of both frameworks, and back.

Names and layouts are torch's, with two exceptions: an LSTM has one ``bias``, the sum of torch's two, and a GRU has
one of shape ``(2, 3H)``, torch's two as rows. Names of the backward direction end in ``_reverse``.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray
Arrays = dict[str, Array]

RECURRENT = ("lstm", "gru", "layer_norm_lstm")
#: Suffixes of names for the directions of a recurrent layer.
DIRECTIONS = ("", "_reverse")
COUNTER = "num_batches_tracked"


def to_numpy(tensor: Tensor) -> Array:
    """Return a copy of a tensor; a dtype that NumPy lacks, such as bfloat16, becomes float32."""
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
        tensor = tensor.float()
    return tensor.numpy().copy()


def arrays_of(kind: str, tensors: Mapping[str, Tensor]) -> Arrays:
    """Return the arrays of a layer's tensors, by torch's names without the number of a recurrent layer."""
    arrays = {name: to_numpy(tensor) for name, tensor in tensors.items()}
    if kind in ("lstm", "gru"):
        for end in DIRECTIONS:
            if f"bias_ih{end}" in arrays:
                both = arrays.pop(f"bias_ih{end}"), arrays.pop(f"bias_hh{end}")
                arrays[f"bias{end}"] = both[0] + both[1] if kind == "lstm" else np.stack(both)
    return arrays


def tensors_of(kind: str, arrays: Mapping[str, Array]) -> Arrays:
    """Return a layer's tensors, as arrays: the inverse of :func:`arrays_of`, with an LSTM's second bias of zeros."""
    tensors = dict(arrays)
    if kind in ("lstm", "gru"):
        for end in DIRECTIONS:
            if f"bias{end}" in tensors:
                bias = tensors.pop(f"bias{end}")
                both = (bias, np.zeros_like(bias)) if kind == "lstm" else (bias[0], bias[1])
                tensors[f"bias_ih{end}"], tensors[f"bias_hh{end}"] = both
    return tensors
