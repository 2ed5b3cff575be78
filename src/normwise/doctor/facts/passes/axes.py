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
    """Return the axis of the input for each axis of an operation's output.

    The operation is tried on meta tensors, and strides identify the axes. An axis without a single counterpart,
    such as a merged one or one of length 1, is None. The result is empty if unknown.
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
    except Exception:  # not every operation supports meta tensors
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
    """Yield the operations that an operation's values come from, with the axis of their output that became ``axis``.

    Args:
        op: Operation to start from.
        axis: Axis of its input.
        through: Names of elementwise operations to skip; operations that only move values are always skipped.

    Yields:
        Each operation, and its axis; None if the axis was merged, split or created on the way.
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
            # Further inputs provide at most a shape, as in view_as.
            queue += [(one, each.axes[at] if known and at is not None else None) for one in each.inputs[:1]]
        elif each.name in through:
            queue += [(one, at if one.shape == each.shape else None) for one in each.inputs]
        else:
            yield each, at
