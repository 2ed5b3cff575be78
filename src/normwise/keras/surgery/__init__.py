"""Models of Keras changed, and the change proven."""

from normwise.keras.surgery.calibrate.calibrate import calibrate

__all__ = ["calibrate"]
