"""Input tensor of a call of a norm layer."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor


def input_of_call(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
    """Return the input among the arguments of a call; None if no argument is a tensor.

    It is the first positional argument, or ``input``, its name in torch's layers and ours; for a layer with its own
    forward, which may use another name, it is the first tensor.
    """
    candidates = (*args, *([kwargs["input"]] if "input" in kwargs else ()), *kwargs.values())
    return next((value for value in candidates if isinstance(value, Tensor)), None)
