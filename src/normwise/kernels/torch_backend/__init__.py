"""Batch normalization on torch's own operators: right everywhere, differentiable twice, traceable.

It computes calls that no compiled backend covers; it is not a backend itself, since autograd differentiates its
operators.
"""

from normwise.kernels.torch_backend.batch_norm import batch_norm
from normwise.kernels.torch_backend.channel_sums import channel_sums

__all__ = ["batch_norm", "channel_sums"]
