"""Batch normalization for Keras 3: the layer, and tools that examine, change and verify models with it."""

from normwise.import_keras import import_keras as _import_keras

_import_keras()  # it says what to install if Keras is missing

from normwise.keras.batch_normalization import BatchNormalization
from normwise.keras.doctor import diagnose
from normwise.keras.surgery import CalibrateCallback, calibrate, fold, freeze, unfreeze
from normwise.keras.watch.watch_callback import WatchCallback

__all__ = [
    "BatchNormalization", "CalibrateCallback", "WatchCallback", "calibrate", "diagnose", "fold", "freeze", "unfreeze",
]  # fmt: skip
