"""Memory orders in which Inductor hands tensors to the operator ``normwise::batch_norm``.

Inductor knows three rules for the inputs of an operator. Two of them ask for the order that was traced: where Inductor
runs convolutions with the channels last, whatever their inputs were, each norm layer then costs two copies and more. The
third asks for none: an input that a pointwise kernel writes then becomes contiguous, whatever stands around. Here the
input keeps the order that it has, one that is not yet written gets that of the graph's convolutions, and residual and
gradient follow the input.

This uses internals of Inductor, which may change with each release: without them the operator keeps the third rule.
"""

import sys
from typing import Any

import torch

_CHANNELS_LAST = {4: (3, 0, 2, 1), 5: (4, 0, 3, 2, 1)}
#: Positions in the operators' arguments of tensors of the input's shape.
_FOLLOWERS = {"batch_norm": (3,), "batch_norm_backward": (4, 5)}

_registered = False


def register_once() -> None:
    """Give Inductor the rule, once it is imported: nothing is imported here, and no graph needs it earlier."""
    global _registered
    lowering = sys.modules.get("torch._inductor.lowering")
    if _registered or lowering is None or not hasattr(lowering, "fallback_handler"):
        return
    _registered = True
    for name, followers in _FOLLOWERS.items():
        operator = getattr(torch.ops.normwise, name).default
        _register(lowering, operator, followers)


def _register(lowering: Any, operator: Any, followers: tuple[int, ...]) -> None:
    compute = lowering.fallback_handler(operator)

    def lower(*arguments: Any) -> Any:
        return compute(*_in_one_order(list(arguments), followers))

    lowering.register_lowering(operator, type_promotion_kind=None)(lower)


def _in_one_order(arguments: list[Any], followers: tuple[int, ...]) -> list[Any]:
    """Return the arguments of the operator, the tensors of the input's shape in one memory order."""
    from torch._inductor import ir
    from torch._inductor.virtualized import V

    kernel, x = ir.ExternKernel, arguments[0]
    x.realize()
    written = ir.is_storage_and_layout(x) and not isinstance(x.get_layout(), ir.FlexibleLayout)
    axes = len(x.get_size())
    if not written and V.graph.layout_opt and axes in _CHANNELS_LAST:
        order = _CHANNELS_LAST[axes]
    else:
        strides = x.get_stride() if written else V.graph.current_node.args[0].meta["val"].stride()
        order = ir.get_stride_order(strides, V.graph.sizevars.shape_env)
    for position in (0, *followers):
        if arguments[position] is not None:
            arguments[position] = kernel.require_stride_order(arguments[position], order)
    return arguments
