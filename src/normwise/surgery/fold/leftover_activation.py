"""The activation, residual and mask of a BN layer whose scale and shift were folded into another layer."""

from collections import OrderedDict
from operator import attrgetter

import torch
from torch import Tensor, fx, nn

from normwise import activations
from normwise.functional import ACTIVATIONS
from normwise.layers import kind_of_norm

#: In-place variants: the sum is a new tensor, so that overwriting it is safe and saves a write.
_ON_SUMS = ACTIVATIONS | {
    name: attrgetter(row.in_place)(torch) for name, row in activations.ACTIVATIONS.items() if row.in_place
}


class ActivationAfterFold(nn.Module):
    """Module for ``act(x + residual)``, and 0 where ``mask`` is False."""

    def __init__(self, activation: str | None) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, input: Tensor, *, residual: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Do the same as :class:`normwise.nn.BatchNorm1d` in evaluation, without normalising."""
        y = input if residual is None else input + residual
        if self.activation is not None:
            y = (ACTIVATIONS if residual is None else _ON_SUMS)[self.activation](y)
        return y if mask is None else y.masked_fill(~mask.unsqueeze(1), 0)

    def extra_repr(self) -> str:
        """Return the activation, for ``repr``."""
        return f"activation={self.activation!r}"


def leftover_activation(layer: nn.Module, call: fx.Node) -> nn.Module:
    """Return the replacement of a BN layer that ``call`` calls, after its scale and shift were folded away."""
    kind = kind_of_norm(layer)
    if not all(type(module) is nn.Identity for module in kind.followers.values()):
        # Under their names in the layer, which other code may read, and which are in the ``state_dict``.
        return nn.Sequential(OrderedDict(kind.followers)).train(layer.training)
    activation = kind.activation
    plain = activation is None and len(call.all_input_nodes) == 1
    return (nn.Identity() if plain else ActivationAfterFold(activation)).train(layer.training)


def described(leftover: nn.Module) -> str:
    """Return a description of the replacement, in one line."""
    if not isinstance(leftover, nn.Sequential):
        return str(leftover)
    return " and ".join(str(module) for module in leftover if type(module) is not nn.Identity)
