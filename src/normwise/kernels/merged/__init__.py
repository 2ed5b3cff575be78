"""Batch normalization with the moments of a union of this batch and others, such as those of other processes."""

from normwise.kernels.merged.dispatch import merged_batch_norm
from normwise.kernels.merged.merger import Merger
from normwise.kernels.merged.on_torch import merged_moments

__all__ = ["Merger", "merged_batch_norm", "merged_moments"]
