"""Backends of batch normalization; :func:`batch_norm` picks one for each call."""

from normwise.kernels.backend import backends_in_use, in_use, name_in_use
from normwise.kernels.call import Call
from normwise.kernels.dispatch import batch_moments, batch_norm, channel_sums
from normwise.kernels.torch_backend.activations import ACTIVATIONS

__all__ = [
    "ACTIVATIONS",
    "Call",
    "backends_in_use",
    "batch_moments",
    "batch_norm",
    "channel_sums",
    "in_use",
    "name_in_use",
]
