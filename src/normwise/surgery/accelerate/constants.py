"""Constants that source code can express."""

import math
from typing import Any

_CONSTANTS = (type(None), bool, int, float, str)


def is_constant(value: Any) -> bool:
    """Return whether a value is immutable and its ``repr`` evaluates to an equal value."""
    if isinstance(value, tuple) and type(value) is tuple:
        return all(is_constant(item) for item in value)
    return type(value) in _CONSTANTS and not (isinstance(value, float) and not math.isfinite(value))
