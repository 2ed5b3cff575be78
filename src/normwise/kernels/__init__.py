"""What computes, and the choice between what could: everything above calls :func:`batch_norm` here.

There is one implementation today, on torch's operators. A faster one enters by this door: it is chosen
in this module, and falls back to :mod:`~normwise.kernels.torch_operators` for all that it does not cover.
"""

from normwise.kernels.activation import ACTIVATIONS
from normwise.kernels.allocator import AllocatorTuning, tune_allocator
from normwise.kernels.torch_operators import batch_norm

__all__ = ["ACTIVATIONS", "AllocatorTuning", "batch_norm", "tune_allocator"]
