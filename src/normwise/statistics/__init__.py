"""Statistics of batch normalization layers: exact moments, recalibration, evaluation by batch."""

from normwise.statistics.batch_statistics import using_batch_statistics
from normwise.statistics.calibrate import calibrate
from normwise.statistics.find import batch_norm_layers
from normwise.statistics.modes import evaluating
from normwise.statistics.moments import Moments

__all__ = ["Moments", "batch_norm_layers", "calibrate", "evaluating", "using_batch_statistics"]
