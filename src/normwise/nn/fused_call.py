"""One call for a BN layer and for what follows it in a forward pass: an addition, an activation."""

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
    """Return whether nobody would see a difference if the layer computed the activation on its own.

    Args:
        layer: The BN layer: one of ours, with nothing to fuse so far, and without hooks.
        activation: The activation's module, if it is one, which must compute what ``name`` says, without hooks.
        name: The activation.
    """
    return (
        isinstance(layer, _BatchNorm)
        and type(layer).forward is BatchNorm1d.forward
        and layer.activation is None
        and not layer.inplace
        and "forward" not in layer.__dict__
        and not has_hooks(layer)
        and (activation is None or (activation_of_module(activation) == name and not has_hooks(activation)))
        # Hooks on all modules see each of them, too.
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
    """Return ``activation(layer(input) + addend)``, in one pass over memory where that is the same.

    It is the same where the addend is a tensor of the input's shape, type and device. Anything else is broadcast or
    promoted by torch, as before. The caller has asked :func:`can_fuse`.

    Args:
        layer: The BN layer.
        input: Its input.
        name: The activation by name, of :data:`normwise.functional.ACTIVATIONS`; None for none.
        activation: Its module, if it is one, which is called where it can't be fused.
        addition: A name in ``ADDITIONS``; None for none.
        addend: What is added.
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
        # What torch.jit.trace records must not depend on sizes.
        and (torch.compiler.is_compiling() or not torch._C._is_tracing())
        and addend.shape == input.shape
        and addend.dtype == input.dtype
        and addend.device == input.device
    )
