"""Layers: drop-in for ``torch.nn``, with what it lacks."""

from normwise.nn.batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"]
