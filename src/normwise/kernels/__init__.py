"""What computes, and the choice between what could: everything above calls :func:`batch_norm` here."""

from normwise.kernels.activation import ACTIVATIONS
from normwise.kernels.allocator import AllocatorTuning, tune_allocator
from normwise.kernels.choice import batch_norm, moments
from normwise.kernels.coverage import check_memory
from normwise.kernels.native import in_use

__all__ = [
    "ACTIVATIONS",
    "AllocatorTuning",
    "batch_norm",
    "check_memory",
    "in_use",
    "moments",
    "tune_allocator",
]
