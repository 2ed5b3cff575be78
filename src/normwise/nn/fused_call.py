"""One call for a BN layer and the addition and activation that follow it in a forward pass."""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from normwise.kernels import ACTIVATIONS
from normwise.nn.batch_norm import BatchNorm1d, _BatchNorm
from normwise.nn.tools.activation_module import activation_of_module
from normwise.nn.tools.hooks import has_global_hooks, has_hooks

_TENSORS = (Tensor, nn.Parameter)
#: Additions by name. "radd" has the layer's output as its second operand; "iadd" writes into it.
ADDITIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "radd": lambda output, addend: addend + output,
    "iadd": operator.iadd,
}


def can_fuse(layer: nn.Module | None, activation: nn.Module | None, name: str | None) -> bool:
    """Return whether the layer can compute the activation without a visible difference.

    Args:
        layer: BN layer of ours, with nothing fused so far, and without hooks.
        activation: Module of the activation, if it is one; it must compute ``name`` and have no hooks.
        name: Name of the activation.
    """
    return (
        isinstance(layer, _BatchNorm)
        and type(layer).forward is BatchNorm1d.forward
        and layer.activation is None
        and not layer.inplace
        and "forward" not in layer.__dict__
        and not has_hooks(layer)
        and (activation is None or (activation_of_module(activation) == name and not has_hooks(activation)))
        # Global hooks see every module, too.
        and not has_global_hooks()
    )


def call_fused(
    layer: _BatchNorm,
    input: Tensor,
    name: str | None,
    activation: nn.Module | None = None,
    addition: str | None = None,
    addend: Any = None,
) -> Tensor:
    """Return ``activation(layer(input) + addend)``, in one pass over memory if that is equivalent.

    It is equivalent if the addend is a tensor with the input's shape, dtype and device. Any other addend is
    broadcast or promoted by torch, as before. The caller must have checked :func:`can_fuse`.

    Args:
        layer: The BN layer.
        input: Input of the layer.
        name: Name of the activation in :data:`normwise.functional.ACTIVATIONS`; None for no activation.
        activation: Module of the activation, if it is one; it is called if it can't be fused.
        addition: Kind of addition, a name in ``ADDITIONS``; None for no addition.
        addend: Other operand of the addition.
    """
    if type(input) in _TENSORS and (addition is None or _is_alike(addend, input)):
        return layer.normalise_and_add(input, addend, name)
    output = layer(input)
    if addition is not None:
        output = ADDITIONS[addition](output, addend)
    if activation is not None:
        return activation(output)
    return output if name is None else ACTIVATIONS[name](output)


def _is_alike(addend: Any, input: Tensor) -> bool:
    return (
        type(addend) in _TENSORS
        # The graph that torch.jit.trace records must not depend on sizes.
        and (torch.compiler.is_compiling() or not torch._C._is_tracing())
        and addend.shape == input.shape
        and addend.dtype == input.dtype
        and addend.device == input.device
    )
