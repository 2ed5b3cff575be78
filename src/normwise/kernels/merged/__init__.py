"""Batch normalization by the moments of a union: this batch and others, such as those of other processes."""

from normwise.kernels.merged.dispatch import merged_batch_norm
from normwise.kernels.merged.merger import Merger

__all__ = ["Merger", "merged_batch_norm"]
