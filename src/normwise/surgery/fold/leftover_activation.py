"""What is left of a BN layer of ours once its scale and shift are in the layer before it."""

from operator import attrgetter

import torch
from torch import Tensor, fx, nn

from normwise import activations
from normwise.functional import ACTIVATIONS
from normwise.surgery.fold.obstacles import activation_in

#: On a sum of its own, which nobody else sees, where memory written twice is what takes the time.
_ON_SUMS = ACTIVATIONS | {
    name: attrgetter(row.in_place)(torch) for name, row in activations.ACTIVATIONS.items() if row.in_place
}


class Remainder(nn.Module):
    """``act(x + residual)``, and 0 where ``mask`` is not: what else the layer whose place it takes was called for."""

    def __init__(self, activation: str | None) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, input: Tensor, *, residual: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """As :class:`normwise.nn.BatchNorm1d`, in evaluation, with nothing to normalise."""
        y = input if residual is None else input + residual
        if self.activation is not None:
            y = (ACTIVATIONS if residual is None else _ON_SUMS)[self.activation](y)
        return y if mask is None else y.masked_fill(~mask.unsqueeze(1), 0)

    def extra_repr(self) -> str:
        """The activation, for ``repr``."""
        return f"activation={self.activation!r}"


def remainder(layer: nn.Module, call: fx.Node) -> nn.Module:
    """What takes the place of a BN layer, called so, of which scale and shift are elsewhere."""
    activation = activation_in(layer)
    plain = activation is None and len(call.all_input_nodes) == 1
    return (nn.Identity() if plain else Remainder(activation)).train(layer.training)
