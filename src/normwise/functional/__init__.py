"""Normalization of tensors, without state of its own."""

from normwise.functional.batch_norm import batch_norm, check_activation, check_call, check_sizes
from normwise.functional.sequence_mask import lengths_as_tensor, sequence_mask
from normwise.kernels import ACTIVATIONS

__all__ = [
    "ACTIVATIONS",
    "batch_norm",
    "check_activation",
    "check_call",
    "check_sizes",
    "lengths_as_tensor",
    "sequence_mask",
]
