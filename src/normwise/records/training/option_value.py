"""Values that an option of a network can have."""

from typing import Any

from normwise.errors import ModelError

#: Largest value of an option; memory allows less.
_MOST = 10**9


def check_option_value(model: str, option: str, value: Any, default: Any) -> None:
    """Raise ModelError unless the value has the type and range that follow from the option's default."""
    # A float option also takes whole numbers; Python counts True as a number.
    kinds = (int, float) if isinstance(default, float) else (type(default),)
    if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
        raise ModelError(
            f"{model}: the option {option!r} takes a value like {default!r}, of type {type(default).__name__}; "
            f"got {value!r}"
        )
    if isinstance(default, (bool, str)):
        return
    # An integer counts units or layers; a float is the size of weights, which may be 0.
    least = 0 if isinstance(default, float) else min(default, 1)
    if not least <= value <= _MOST:  # in this form it refuses NaN, too
        raise ModelError(
            f"{model}: the option {option!r} takes a number from {least} to {_MOST:,}; got {value!r}"
        )
