"""The axis that all claims share: how many times the smallest effect that matters, for the claim or against it."""

import math

#: Ends of the axis; what lies beyond is cut off there.
LIMIT = 100.0
TICKS = (-100, -10, -1, 0, 1, 10, 100)
_DECADES = math.log10(LIMIT)


def place(position: float) -> float:
    """Return the place on the axis, -1 at its left end and 1 at its right one; NaN stays NaN.

    Up to the smallest effect that matters the axis is linear, beyond it logarithmic.
    """
    size = min(abs(position), LIMIT)
    if size > 1:
        size = 1 + math.log10(size)
    return math.copysign(size / (1 + _DECADES), position)


def is_beyond(position: float) -> bool:
    """Tell whether a position lies off the axis."""
    return abs(position) > LIMIT
