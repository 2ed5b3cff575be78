"""Batch normalization for Keras 3: the layer, and what examines, changes and proves models that have it."""

from normwise.import_keras import import_keras as _import_keras

_import_keras()  # which says what to install where Keras is missing

from normwise.keras.batch_normalization import BatchNormalization
from normwise.keras.doctor import diagnose
from normwise.keras.surgery import CalibrateCallback, calibrate, fold, freeze, unfreeze

__all__ = ["BatchNormalization", "CalibrateCallback", "calibrate", "diagnose", "fold", "freeze", "unfreeze"]
