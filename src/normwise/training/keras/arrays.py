"""Batches in the layout of Keras: NumPy arrays, channels last, sequences padded with zeros."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

#: Lengths are padded to a multiple of this number of steps, so that few shapes are compiled.
_MULTIPLE = 32


def array_of(batch: Mapping[str, Tensor]) -> np.ndarray[Any, Any]:
    """Return a batch of ``Samples.inputs``: images ``(N, H, W, C)``, frames ``(N, L, F)`` or int32 tokens ``(N, L)``.

    Padding is 0, which the networks mask.
    """
    if "images" in batch:
        return batch["images"].permute(0, 2, 3, 1).contiguous().numpy()
    sequences = batch["sequences"].numpy()
    length = -(-sequences.shape[1] // _MULTIPLE) * _MULTIPLE
    # Tokens are indices of the vocabulary, so none is out of range.
    kind = sequences.dtype if sequences.dtype.kind == "f" else np.int32
    padded = np.zeros((len(sequences), length, *sequences.shape[2:]), kind)
    padded[:, : sequences.shape[1]] = sequences
    return padded
