"""Brightness of the images that a network was trained on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Brightness:
    """Ranges in which all but the darkest and the brightest hundredth of the training images lie; 0 black, 1 white.

    Attributes:
        low, high: Range of the mean of an image.
        border_low, border_high: Range of the mean of the outermost pixels of an image.
    """

    low: float
    high: float
    border_low: float
    border_high: float
