"""Normalization of tensors as functions without state."""

from normwise.functional.batch_norm import batch_norm
from normwise.functional.moments import moments
from normwise.functional.normalise import normalise
from normwise.functional.sequence_mask import sequence_mask
from normwise.functional.update_running import update_running
from normwise.kernels import ACTIVATIONS

__all__ = [
    "ACTIVATIONS",
    "batch_norm",
    "moments",
    "normalise",
    "sequence_mask",
    "update_running",
]
