"""The channel axis of a layer, followed through transpositions and reshapes."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from normwise.nn.tools.hooks import has_hooks
from normwise.surgery.graph.model_graph import Part

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_TURNS = {"transpose", "swapaxes", torch.transpose, torch.swapaxes}
_PERMUTATIONS = {"permute", torch.permute}
_SAME = {"contiguous", "clone", torch.clone}
_RESHAPES = {"reshape", "view", "flatten", "reshape_as", "view_as", torch.reshape, torch.flatten}
#: Uses of only the shape, dtype or device of the first input, and of the second input.
_OF_SHAPE = {
    *("size", "dim", "ndimension", "numel", "nelement", "is_floating_point"),
    *("new_zeros", "new_ones", "new_empty", "new_full", "new_tensor"),
    *(
        torch.numel,
        torch.zeros_like,
        torch.ones_like,
        torch.empty_like,
        torch.full_like,
        torch.is_floating_point,
    ),
}
_AS_SECOND = {"reshape_as", "view_as", "expand_as", "type_as"}
_ATTRIBUTES = {"shape", "ndim", "dtype", "device", "is_cuda", "layout"}


@dataclass(frozen=True)
class Axis:
    """One axis of a tensor.

    Attributes:
        from_end: Number of axes after it; 0 for the last.
        dims: Number of axes of the tensor; None if unknown.
    """

    from_end: int
    dims: int | None

    @property
    def is_last(self) -> bool:
        """Return whether it is the last axis."""
        return self.from_end == 0

    def is_channel_of(self, dims: int) -> bool:
        """Return whether it is axis 1 of ``dims``."""
        return self.dims == dims and self.from_end == dims - 2


def turned(part: Part, node: fx.Node, axis: Axis, *, backwards: bool) -> Axis | None:
    """Return the axis of ``node``'s output for an axis of its input, or the reverse with ``backwards``.

    None if the node changes the values, or a hook sees them. A reshape keeps the last axis if its length stays the
    same, which the caller must check.
    """
    if node.op == "call_module":
        module = part.called(node)
        if module is None or has_hooks(module):
            return None
        same = type(module) is nn.Identity or (type(module) in _DROPOUTS and not module.training)
        return axis if same else None
    if node.op not in ("call_function", "call_method") or not node.args or source(node) is None:
        return None
    target, arguments = node.target, node.args[1:]
    if target in _SAME:
        return axis
    if target in _RESHAPES:
        # view(dtype) is another operation.
        known = axis.is_last and not any(
            isinstance(a, torch.dtype) for a in (*arguments, *node.kwargs.values())
        )
        return Axis(0, None) if known else None
    if axis.dims is None or node.kwargs:
        return None
    order = _order(target, arguments, axis.dims)
    if order is None:
        return None
    place = axis.dims - 1 - axis.from_end
    place = order[place] if backwards else order.index(place)
    return Axis(axis.dims - 1 - place, axis.dims)


def _order(target: Any, arguments: tuple[Any, ...], dims: int) -> list[int] | None:
    """Return the axis of the input for each axis of the output."""
    if target in _PERMUTATIONS:
        axes = arguments[0] if len(arguments) == 1 else arguments
        numbers = isinstance(axes, (tuple, list)) and all(isinstance(axis, int) for axis in axes)
        return [axis % dims for axis in axes] if numbers and len(axes) == dims else None
    if target in _TURNS and len(arguments) == 2 and all(isinstance(axis, int) for axis in arguments):
        first, second = (axis % dims for axis in arguments)
        order = list(range(dims))
        order[first], order[second] = second, first
        return order
    return None


def source(node: fx.Node) -> fx.Node | None:
    """Return the node whose output is ``node``'s input; None if there is none."""
    first = node.args[0] if node.args else node.kwargs.get("input")
    return first if isinstance(first, fx.Node) else None


def readers(node: fx.Node) -> list[fx.Node]:
    """Return the users of the values of ``node``'s output; one that uses it twice occurs twice.

    Nodes that use only its shape, dtype or device are left out.
    """
    found: list[fx.Node] = []
    for user in node.users:
        arguments: Any = (user.args, user.kwargs)
        if user.target in _OF_SHAPE or (user.target is getattr and user.args[1] in _ATTRIBUTES):
            arguments = (user.args[1:], user.kwargs)
        elif user.op == "call_method" and user.target in _AS_SECOND:
            arguments = (user.args[:1], user.kwargs)
        inputs: list[fx.Node] = []
        fx.map_arg(arguments, inputs.append)
        found += [user] * inputs.count(node)
    return found
