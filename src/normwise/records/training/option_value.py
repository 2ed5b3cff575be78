"""Values that an option of a network can have."""

from typing import Any

from normwise.errors import ModelError

#: No option is larger; what fits into memory is less.
_MOST = 10**9


def check_option_value(model: str, option: str, value: Any, default: Any) -> None:
    """Raise ModelError unless the value is of the kind and in the range that the option's default tells."""
    # A float option takes whole numbers, too; to Python True is a number.
    kinds = (int, float) if isinstance(default, float) else (type(default),)
    if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
        raise ModelError(
            f"{model}: the option {option!r} takes a value like {default!r}, of type {type(default).__name__}; "
            f"got {value!r}"
        )
    if isinstance(default, (bool, str)):
        return
    # A whole number counts units or layers; a fraction is the size of weights, and all of these may be 0.
    least = 0 if isinstance(default, float) else min(default, 1)
    if not least <= value <= _MOST:  # so written, it refuses NaN, too
        raise ModelError(
            f"{model}: the option {option!r} takes a number from {least} to {_MOST:,}; got {value!r}"
        )
