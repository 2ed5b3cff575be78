"""Checks of the layer's arguments in ``__init__``, ``build`` and ``call``."""

import math
from numbers import Real
from typing import Any


def check_arguments(
    axis: Any,
    momentum: float | None,
    epsilon: float,
    renorm: bool,
    renorm_momentum: float,
    synchronized: bool,
    virtual_batch_size: int | None,
) -> None:
    """Raise ValueError if an argument of the layer is invalid, or contradicts another."""
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise ValueError(f"axis must be one whole number, that of the channels, got {axis!r}")
    _check_share("momentum", momentum)
    _check_share("renorm_momentum", renorm_momentum)
    if isinstance(epsilon, bool) or not isinstance(epsilon, Real) or not 0 <= epsilon < math.inf:
        raise ValueError(f"expected an epsilon of 0 or more, got {epsilon!r}")
    if virtual_batch_size is None:
        return
    if type(virtual_batch_size) is not int or virtual_batch_size < 1:
        raise ValueError(
            f"virtual_batch_size must be a whole number of samples, 1 or more, or None, got {virtual_batch_size!r}"
        )
    if renorm or synchronized:
        other = "renorm" if renorm else "synchronized"
        raise ValueError(f"virtual_batch_size and {other}=True contradict one another; leave one out")


def checked_channels(shape: Any, axis: int, virtual_batch_size: int | None, name: str) -> int:
    """Return the number of channels of inputs of a shape.

    Raises:
        ValueError: the layer can't normalise inputs of this shape.
    """
    rank = len(shape)
    if rank < 2 or not -rank <= axis < rank:
        raise ValueError(
            f"{name}: expected inputs with two axes or more, and axis {axis} among them, got the shape {tuple(shape)}"
        )
    channels = shape[axis]
    if channels is None:
        raise ValueError(
            f"{name}: the number of channels, axis {axis} of the shape {tuple(shape)}, must be known"
        )
    if virtual_batch_size is not None and axis % rank == 0:
        raise ValueError(
            f"{name}: virtual_batch_size cuts the first axis, which can't be that of the channels"
        )
    return channels


def check_residual(shape: Any, expected: Any, name: str) -> None:
    """Raise ValueError unless a residual has the shape of the inputs, as far as both are known."""
    if len(shape) == len(expected) and all(
        None in (have, want) or have == want for have, want in zip(shape, expected, strict=True)
    ):
        return
    raise ValueError(
        f"{name}: the residual has the shape {tuple(shape)}, expected that of the inputs, {tuple(expected)}"
    )


def _check_share(name: str, value: float | None) -> None:
    if value is not None and not (
        isinstance(value, Real) and not isinstance(value, bool) and 0 <= value <= 1
    ):
        raise ValueError(f"expected a {name} between 0 and 1, the weight of what was, got {value!r}")
