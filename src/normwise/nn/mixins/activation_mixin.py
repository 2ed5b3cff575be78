"""Mixin that gives any norm a residual and an activation, as our BN layers have."""

from typing import Any

from torch import Tensor, nn

from normwise.functional import ACTIVATIONS
from normwise.kernels.call import check_activation
from normwise.nn.mixins.change_class import change_class
from normwise.nn.mixins.class_mixins import Derived, derived
from normwise.nn.tools.dropped_activation import KeepsActivation
from normwise.nn.tools.scripted import NotScriptable


class Activated(Derived, KeepsActivation, NotScriptable):
    r"""Mixin of any norm that computes :math:`y = a(\mathrm{norm}(x) + r)`.

    ``residual`` and the output have the input's shape; the activation is None, for the identity, or a name in
    :data:`normwise.functional.ACTIVATIONS`.
    """

    activation: str | None

    def forward(self, input: Tensor, *, residual: Tensor | None = None) -> Tensor:
        """Normalise, add and activate."""
        check_activation(self.activation)
        normed: Any = super().forward
        output: Tensor = normed(input)
        if residual is not None:
            output = output + residual
        return output if self.activation is None else ACTIVATIONS[self.activation](output)

    def extra_repr(self) -> str:
        """Return the arguments, for ``repr``."""
        return f"{super().extra_repr()}, activation={self.activation!r}"


def activate_layer(layer: nn.Module, activation: str | None) -> None:
    """Add a residual and an activation to a norm of any kind, in place."""
    layer.__dict__["activation"] = activation
    change_class(layer, derived(Activated, type(layer)))
