"""Memory orders in which Inductor hands tensors to the operator ``normwise::batch_norm``.

Inductor knows three rules for the inputs of an operator. Two of them ask for the order that was traced. But Inductor
runs convolutions with the channels last, whatever the order of their inputs was: each norm layer of a contiguous model
then costs several copies. The third rule asks for nothing: an input that one of Inductor's own kernels writes then
becomes contiguous, whatever the others are.

Here the input keeps the order that it has. One that is not written yet gets the order of the graph's convolutions.
Residual and gradient follow the input.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch

_CHANNELS_LAST = {4: (3, 0, 2, 1), 5: (4, 0, 3, 2, 1)}
#: Positions of the tensors of the input's shape among the operators' arguments.
_FOLLOWERS = {"batch_norm": (3,), "batch_norm_backward": (4, 5)}


def register(lowering: Any) -> None:
    """Give Inductor's module ``lowering`` the rule."""
    for name, followers in _FOLLOWERS.items():
        operator = getattr(torch.ops.normwise, name).default
        lowering.register_lowering(operator, type_promotion_kind=None)(
            _Lowering(lowering, operator, followers)
        )


class _Lowering:
    """The call of an operator in a graph of Inductor's."""

    def __init__(self, lowering: Any, operator: Any, followers: tuple[int, ...]) -> None:
        self._compute = lowering.fallback_handler(operator)
        self._followers = followers
        self.__name__ = operator.name()

    def __call__(self, *given: Any) -> Any:
        """Return the operator's outputs, computed from tensors in one memory order."""
        arguments = list(given)
        kernel = import_module("torch._inductor.ir").ExternKernel
        order = _order(arguments[0])
        for position in (0, *self._followers):
            if arguments[position] is not None:
                arguments[position] = kernel.require_stride_order(arguments[position], order)
        return self._compute(*arguments)


def _order(x: Any) -> Sequence[int]:
    """Return the memory order that the operator's input has or gets, as Inductor writes it."""
    ir, graph = import_module("torch._inductor.ir"), import_module("torch._inductor.virtualized").V.graph
    x.realize()
    axes = len(x.get_size())
    if ir.is_storage_and_layout(x) and not isinstance(x.get_layout(), ir.FlexibleLayout):
        strides = x.get_stride()
    elif graph.layout_opt and axes in _CHANNELS_LAST:
        return _CHANNELS_LAST[axes]
    else:
        strides = graph.current_node.args[0].meta["val"].stride()
    return ir.get_stride_order(strides, graph.sizevars.shape_env)
