"""What computes, and the choice between what could: everything above calls :func:`batch_norm` here."""

from normwise.kernels.activation import ACTIVATIONS
from normwise.kernels.cpu.coverage import check_memory
from normwise.kernels.cpu.library import in_use
from normwise.kernels.dispatch import batch_norm, moments

__all__ = [
    "ACTIVATIONS",
    "batch_norm",
    "check_memory",
    "in_use",
    "moments",
]
