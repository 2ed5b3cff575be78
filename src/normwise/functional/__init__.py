"""Normalization of tensors, without state of its own."""

from normwise.functional.batch_norm import batch_norm
from normwise.functional.sequence_mask import sequence_mask
from normwise.kernels import ACTIVATIONS

__all__ = [
    "ACTIVATIONS",
    "batch_norm",
    "sequence_mask",
]
