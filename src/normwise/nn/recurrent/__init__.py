"""Recurrent layers with normalization within the recurrence."""

from normwise.nn.recurrent.batch_norm_gru import BatchNormGRU
from normwise.nn.recurrent.batch_norm_lstm import BatchNormLSTM
from normwise.nn.recurrent.layer_norm_gru import LayerNormGRU
from normwise.nn.recurrent.layer_norm_lstm import LayerNormLSTM
from normwise.nn.recurrent.step_batch_norm import StepBatchNorm
from normwise.nn.recurrent.sync_step_batch_norm import SyncStepBatchNorm

__all__ = [
    "BatchNormGRU",
    "BatchNormLSTM",
    "LayerNormGRU",
    "LayerNormLSTM",
    "StepBatchNorm",
    "SyncStepBatchNorm",
]
