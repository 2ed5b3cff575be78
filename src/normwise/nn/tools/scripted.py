"""The forward pass of our BN layers in the subset of Python that ``torch.jit.script`` compiles."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from normwise.errors import ArgumentError

_Forward = TypeVar("_Forward", bound=Callable[..., Tensor])


class NotScriptable(nn.Module):
    """Base of layers whose forward pass ``torch.jit.script`` can't compile."""

    def __prepare_scriptable__(self) -> nn.Module:
        """Raise an error that says what to do instead; ``torch.jit.script`` calls this first."""
        raise ArgumentError(
            f"torch.jit.script can't compile {type(self).__name__}; trace the model, torch.jit.trace(model, example), "
            "or export it: torch.export.export(model, (example,))"
        )


def compiled_as(source: Callable[..., Any]) -> Callable[[_Forward], _Forward]:
    """Make ``torch.jit.script`` compile ``source`` instead of the decorated forward pass.

    torch.jit reads a function's source by ``inspect``, which follows ``__wrapped__``. Names in the source are
    looked up in the module of the decorated function. The signature is unchanged.
    """

    def decorate(forward: _Forward) -> _Forward:
        vars(forward).update(__signature__=inspect.signature(forward), __wrapped__=source)
        return forward

    return decorate


def scripted_forward(
    self: Any, input: Tensor, residual: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """Compute :class:`normwise.nn.BatchNorm1d` by torch's operators; a mask is supported only in evaluation."""
    factor = 0.0
    if self.momentum is not None:
        factor = self.momentum
    if self.training and self.track_running_stats and self.num_batches_tracked is not None:
        self.num_batches_tracked.add_(1)
        if self.momentum is None:
            factor = 1.0 / float(self.num_batches_tracked)
    mean, var = self.running_mean, self.running_var
    by_batch = self.training or (mean is None and var is None)
    if self.training and not self.track_running_stats:
        mean, var = None, None
    if mask is not None:
        if by_batch:
            raise RuntimeError(
                "a scripted BN layer can't be trained with a mask; train the model before it is scripted"
            )
        input = torch.where(mask.unsqueeze(1), input, 0.0)
    output = torch.nn.functional.batch_norm(
        input, mean, var, self.weight, self.bias, by_batch, factor, self.eps
    )
    if residual is not None:
        output = output + residual
    if self.activation is not None:
        name: str = self.activation
        if name == "relu":
            output = torch.relu(output)
        elif name == "relu6":
            output = torch.nn.functional.relu6(output)
        elif name == "leaky_relu":
            output = torch.nn.functional.leaky_relu(output)
        elif name == "elu":
            output = torch.nn.functional.elu(output)
        elif name == "gelu":
            output = torch.nn.functional.gelu(output)
        elif name == "silu":
            output = torch.nn.functional.silu(output)
        elif name == "hardswish":
            output = torch.nn.functional.hardswish(output)
        elif name == "sigmoid":
            output = torch.sigmoid(output)
        elif name == "tanh":
            output = torch.tanh(output)
        else:
            raise RuntimeError("the activation " + name + " can't be scripted")
    if mask is not None:
        output = torch.where(mask.unsqueeze(1), output, 0.0)
    return output
