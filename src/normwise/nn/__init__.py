"""Layers: drop-in for ``torch.nn``, with what it lacks."""

from normwise.nn.batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from normwise.nn.recurrent import BatchNormGRU, BatchNormLSTM, LayerNormGRU, LayerNormLSTM
from normwise.nn.sequence_batch_norm import SequenceBatchNorm

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "BatchNormGRU",
    "BatchNormLSTM",
    "LayerNormGRU",
    "LayerNormLSTM",
    "SequenceBatchNorm",
]
