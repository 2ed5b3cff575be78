"""Statistics of batch normalization layers: exact moments, recalibration, evaluation by batch, watching."""

from normwise.statistics.accumulate.accumulate import accumulate
from normwise.statistics.accumulate.backward_of_union import backward_of_union
from normwise.statistics.calibrate.calibrate import calibrate
from normwise.statistics.evaluation_modes import evaluating, using_batch_statistics
from normwise.statistics.merge_statistics import merge_statistics
from normwise.statistics.model_inputs import Batch, Data, arguments_of, batches_of
from normwise.statistics.moments import Moments
from normwise.statistics.watch.watch import watch

__all__ = [
    "Batch",
    "Data",
    "Moments",
    "accumulate",
    "arguments_of",
    "backward_of_union",
    "batches_of",
    "calibrate",
    "evaluating",
    "merge_statistics",
    "using_batch_statistics",
    "watch",
]
