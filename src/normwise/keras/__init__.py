"""Batch normalization for Keras 3: the layer, and what examines, changes and proves models that have it."""

from normwise.keras.batch_normalization import BatchNormalization
from normwise.keras.doctor import diagnose
from normwise.keras.surgery import CalibrateCallback, calibrate, fold, freeze, unfreeze

__all__ = ["BatchNormalization", "CalibrateCallback", "calibrate", "diagnose", "fold", "freeze", "unfreeze"]
