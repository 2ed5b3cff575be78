"""Norm layers of a model: their kinds, their paths, and the slots of their statistics."""

from normwise.layers.find import Found, batch_norms, find, layers_with_statistics
from normwise.layers.functions import is_batch_norm_call
from normwise.layers.input_of_call import input_of_call
from normwise.layers.kind import LayerKind, kind_of, kind_of_norm
from normwise.layers.statistics_slot import StatisticsSlot, slot_of_mean, slots_of

__all__ = [
    "Found",
    "LayerKind",
    "StatisticsSlot",
    "batch_norms",
    "find",
    "input_of_call",
    "is_batch_norm_call",
    "kind_of",
    "kind_of_norm",
    "layers_with_statistics",
    "slot_of_mean",
    "slots_of",
]
