"""Changes of Keras models, each proven on an example."""

from normwise.keras.surgery.calibrate.calibrate import calibrate
from normwise.keras.surgery.calibrate_callback import CalibrateCallback
from normwise.keras.surgery.fold.fold import fold
from normwise.keras.surgery.freeze import freeze, unfreeze

__all__ = ["CalibrateCallback", "calibrate", "fold", "freeze", "unfreeze"]
