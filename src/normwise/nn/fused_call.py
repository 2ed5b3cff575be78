"""One call for a BN layer and for what follows it in a forward pass: an addition, an activation."""

import operator
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from normwise.kernels import ACTIVATIONS
from normwise.nn.activation_module import activation_of_module
from normwise.nn.batch_norm import BatchNorm1d, _BatchNorm
from normwise.nn.hooks import has_hooks

_TENSORS = (Tensor, nn.Parameter)
#: Additions by name. "radd" has the layer's output as its second operand; "iadd" writes into it.
ADDITIONS = {"add": operator.add, "radd": lambda output, addend: addend + output, "iadd": operator.iadd}


def call_fused(
    layer: nn.Module,
    input: Tensor,
    activation: nn.Module | str | None = None,
    addition: str | None = None,
    addend: Any = None,
) -> Tensor:
    """Return ``activation(layer(input) + addend)``, in one pass over memory where that is the same.

    It is the same where the layer is one of ours, has nothing to fuse of its own and no hooks, the activation is what
    it was when the model was accelerated and has no hooks either, and the addend is a tensor of the input's shape,
    type and device. All of that is asked at each call. In any other case, such as layers that were exchanged since, or
    values that stand for others while a model is traced, the three are called one after the other.

    Args:
        layer: The BN layer.
        input: Its input.
        activation: The activation's module, or its name in :data:`normwise.functional.ACTIVATIONS`; None for none.
        addition: A name in ``ADDITIONS``; None for none.
        addend: What is added.
    """
    if (
        isinstance(layer, _BatchNorm)
        and _is_plain(layer)
        and type(input) in _TENSORS
        and (addition is None or _is_alike(addend, input))
    ):
        if activation is None or type(activation) is str:
            return layer.normalise_and_add(input, addend, activation)
        if isinstance(activation, nn.Module) and not has_hooks(activation):
            name = activation_of_module(activation)
            if name is not None:
                return layer.normalise_and_add(input, addend, name)
    output = layer(input)
    if addition is not None:
        output = ADDITIONS[addition](output, addend)
    if activation is None:
        return output
    return activation(output) if isinstance(activation, nn.Module) else ACTIVATIONS[activation](output)


def _is_plain(layer: _BatchNorm) -> bool:
    return not (
        type(layer).forward is not BatchNorm1d.forward
        or layer.activation is not None
        or layer.inplace
        or "forward" in layer.__dict__
        or has_hooks(layer)
        # Hooks on all modules see the layer's own output, too.
        or torch_module._global_forward_hooks
        or torch_module._global_forward_pre_hooks
        or torch_module._global_backward_hooks
        or torch_module._global_backward_pre_hooks
    )


def _is_alike(addend: Any, input: Tensor) -> bool:
    return (
        type(addend) in _TENSORS
        and addend.shape == input.shape
        and addend.dtype == input.dtype
        and addend.device == input.device
    )
