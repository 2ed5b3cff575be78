"""The tensor that a norm layer is called with."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor


def input_of_call(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
    """Return the input among the arguments of a call; None where no argument is a tensor.

    That is the first positional argument, or ``input``, as torch's layers and ours call it; for a layer with a forward
    of its own, which may call it otherwise, the first tensor.
    """
    candidates = (*args, *([kwargs["input"]] if "input" in kwargs else ()), *kwargs.values())
    return next((value for value in candidates if isinstance(value, Tensor)), None)
