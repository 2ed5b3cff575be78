"""Masks of a batch, reshaped to broadcast to it."""

from typing import Any

import numpy as np

from normwise.keras.moments import Tensor
from normwise.keras.untyped import ops

_Shape = list[int | None]


def broadcast_mask(mask: Tensor, shape: Any, axis: int, name: str) -> Tensor:
    """Return a boolean mask with the rank of the inputs.

    A mask with fewer axes has the inputs' axes without ``axis``, or their first axes. Keras itself makes the latter
    (``Masking``, ``Embedding``), including the channels if ``axis`` is not the last.

    Args:
        mask: True, or another number than 0, where a position is real.
        shape: Shape of the inputs, with None for unknown sizes.
        axis: Axis of the channels, not negative.
        name: Name of the layer, for errors.

    Raises:
        ValueError: the shape does not fit, or fits in both ways.
    """
    mask = ops.cast(ops.convert_to_tensor(mask), "bool")
    for a in added_axes(mask.shape, shape, axis, name):
        mask = ops.expand_dims(mask, a)
    return mask


def added_axes(given: Any, shape: Any, axis: int, name: str) -> tuple[int, ...]:
    """Return the axes that a mask lacks, in ascending order; see :func:`broadcast_mask`."""
    given, shape = list(given), list(shape)
    rest = range(len(given), len(shape))
    ways = [list(rest)]
    if axis <= len(given) < len(shape):
        ways.insert(0, [axis, *(a + 1 for a in rest[:-1])])
    fitting = {tuple(whole): added for added in ways if _fits(whole := _with_axes(given, added), shape)}
    if not fitting:
        without = tuple(size for a, size in enumerate(shape) if a != axis)
        raise ValueError(
            f"{name}: the mask has the shape {tuple(given)}, expected that of the inputs, {tuple(shape)}, or that "
            f"without axis {axis}, {without}, or a leading part of either"
        )
    # The number of samples, which may be unknown, is not compared.
    if len(fitting) > 1 and None not in (*given[1:], *shape[1:]):
        raise ValueError(
            f"{name}: the mask of the shape {tuple(given)} may be that of the inputs, {tuple(shape)}, without axis "
            f"{axis} or without their last axes; give it all axes, {' or '.join(map(str, fitting))}"
        )
    return tuple(next(iter(fitting.values())))


def real_positions(mask: Any, shape: tuple[int, ...], axis: int, name: str) -> Any:
    """Return a NumPy mask with the inputs' shape without the axis of the channels.

    Raises:
        ValueError: the mask does not fit, or differs between channels.
    """
    mask = np.expand_dims(mask.astype(bool), added_axes(mask.shape, shape, axis, name))
    if mask.shape[axis] != 1 and not (mask == mask.take([0], axis)).all():
        raise ValueError(
            f"{name}: the mask differs between channels, axis {axis}; expected one for all channels, as the statistics "
            "of each channel are measured over the same positions"
        )
    mask = mask.take(0, axis)
    return np.broadcast_to(mask, [size for a, size in enumerate(shape) if a != axis])


def _with_axes(shape: _Shape, added: list[int]) -> _Shape:
    """Return a shape with additional axes of size 1, in ascending order."""
    whole = list(shape)
    for a in added:
        whole.insert(a, 1)
    return whole


def _fits(whole: _Shape, shape: _Shape) -> bool:
    return len(whole) == len(shape) and all(
        None in (have, want) or have in (1, want) for have, want in zip(whole, shape, strict=True)
    )
