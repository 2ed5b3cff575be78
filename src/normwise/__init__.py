"""Batch normalization for PyTorch: layers that are right, and evidence instead of folklore."""

from importlib.metadata import version

from normwise import errors, functional, nn, reference
from normwise.kernels import tune_allocator
from normwise.statistics import calibrate, watch
from normwise.surgery import accelerate, convert, fold, freeze, insert, unfreeze

__version__ = version("normwise")
__all__ = [
    "__version__",
    "accelerate",
    "calibrate",
    "convert",
    "errors",
    "fold",
    "freeze",
    "functional",
    "insert",
    "nn",
    "reference",
    "tune_allocator",
    "unfreeze",
    "watch",
]
