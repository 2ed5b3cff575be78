"""Axes of tensors, followed back through operations that move values."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

if TYPE_CHECKING:
    from normwise.doctor.facts.passes.flow import Op

#: Operations that change no axis, some of which can't be tried on tensors without values.
_KEEPS_AXES = frozenset(
    {"to", "cpu", "cuda", "type", "contiguous", "clone", "detach", "identity", "alias", "data"}
)


def moved_axes(
    name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[int | None, ...]:
    """Return, for each axis of an operation's output, the axis of its input that it is.

    The operation is tried on tensors without values, whose strides tell. An axis that is none alone is None, such as a
    merged one or one of length 1. Empty where that can't be told.
    """
    source = next((leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)), None)
    if source is None:
        return ()
    if name in _KEEPS_AXES:
        return tuple(range(source.dim()))

    def without_values(tensor: Tensor) -> Tensor:
        return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")

    try:
        tried_args, tried_kwargs = pytree.tree_map_only(Tensor, without_values, (args, dict(kwargs)))
        moved = func(*tried_args, **tried_kwargs)
    except Exception:  # not every operation has a form without values
        return ()
    if not isinstance(moved, Tensor):
        return ()
    before = without_values(source)
    axis_of = {
        (size, stride): axis
        for axis, (size, stride) in enumerate(zip(before.shape, before.stride(), strict=True))
        if size > 1
    }
    return tuple(axis_of.get(pair) for pair in zip(moved.shape, moved.stride(), strict=True))


def origins(op: "Op", axis: int, through: Collection[str] = ()) -> Iterator[tuple["Op", int | None]]:
    """Yield the operations whose values an operation gets, and the axis of their output that ``axis`` was there.

    Args:
        op: The operation.
        axis: An axis of what it gets.
        through: Names of operations on single values to look past; those that only move values always are.

    Yields:
        Each operation, and its axis; None where the axis was merged, split or made on the way.
    """
    queue: list[tuple[Op, int | None]] = [(each, axis) for each in op.inputs]
    seen: set[tuple[int, int | None]] = set()
    while queue:
        each, at = queue.pop(0)
        if (id(each), at) in seen:
            continue
        seen.add((id(each), at))
        if each.moves:
            known = at is not None and at < len(each.axes)
            # What follows its values gives others' shapes at most, as that of view_as.
            queue += [(one, each.axes[at] if known and at is not None else None) for one in each.inputs[:1]]
        elif each.name in through:
            queue += [(one, at if one.shape == each.shape else None) for one in each.inputs]
        else:
            yield each, at
