"""Drop-in replacements for norms of ``torch.nn``, with fused activation, residual and mask, and further norms."""

from normwise.nn.batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from normwise.nn.batch_renorm import BatchRenorm1d, BatchRenorm2d, BatchRenorm3d
from normwise.nn.ghost_batch_norm import GhostBatchNorm1d, GhostBatchNorm2d, GhostBatchNorm3d
from normwise.nn.recurrent import BatchNormGRU, BatchNormLSTM, LayerNormGRU, LayerNormLSTM
from normwise.nn.sequence_batch_norm import SequenceBatchNorm
from normwise.nn.sync_batch_norm import SyncBatchNorm

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "BatchNormGRU",
    "BatchNormLSTM",
    "BatchRenorm1d",
    "BatchRenorm2d",
    "BatchRenorm3d",
    "GhostBatchNorm1d",
    "GhostBatchNorm2d",
    "GhostBatchNorm3d",
    "LayerNormGRU",
    "LayerNormLSTM",
    "SequenceBatchNorm",
    "SyncBatchNorm",
]
