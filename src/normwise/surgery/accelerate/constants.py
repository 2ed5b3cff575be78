"""Values that never change, and that source code can name."""

import math
from typing import Any

_CONSTANTS = (type(None), bool, int, float, str)


def is_constant(value: Any) -> bool:
    """Return whether a value never changes, and is equal to what its ``repr`` says."""
    if isinstance(value, tuple) and type(value) is tuple:
        return all(is_constant(item) for item in value)
    return type(value) in _CONSTANTS and not (isinstance(value, float) and not math.isfinite(value))
