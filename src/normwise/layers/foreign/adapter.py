"""Description of a family of norm layers of another library."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from normwise.nn.norm_traits import NormTraits

_TENSORS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Adapter:
    r"""Family of BN layers of another library.

    In evaluation they compute, followed by their own modules such as an activation,

    .. math::

        y = f_k(\dots f_1(s x + t)), \quad s = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}, \; t = \beta - s \mu

    Attributes:
        library: The top package or module of the classes; empty for any.
        names: Names of the classes; a subclass counts as well.
        traits: Traits of the layers. Family "batch" is a subclass of a BN layer of torch, "frozen" is a module with
            weight, bias and statistics as buffers.
        followers: Names of their modules that are called after the normalization, in this order.
        eps: Possible values of ε if a layer has no attribute ``eps``; the one that the layer computes with is
            chosen.
    """

    library: str
    names: tuple[str, ...]
    traits: NormTraits
    followers: tuple[str, ...] = ()
    eps: tuple[float, ...] = (1e-5,)

    def knows_class(self, kind: type[Any]) -> bool:
        """Return whether modules of a class belong to this family, if they have its structure."""
        return any(map(self.is_class, kind.__mro__))

    def is_class(self, kind: type[Any]) -> bool:
        """Return whether a class belongs to the library."""
        package = kind.__module__.partition(".")[0]
        return kind.__name__ in self.names and (not self.library or package == self.library)

    def has_structure(self, module: nn.Module) -> bool:
        """Return whether a module of a matching class has the structure of this family."""
        if any(module._modules.get(name) is None for name in self.followers):
            return False
        return isinstance(module, _BatchNorm) if self.traits.family == "batch" else has_constants(module)

    def traits_of(self, module: nn.Module) -> NormTraits:
        """Return the traits of a module of this family."""
        return self.traits

    def eps_of(self, layer: nn.Module) -> float:
        """Return ε: the attribute, or the possible value that the layer computes with."""
        if (own := getattr(layer, "eps", None)) is not None:
            return float(own)
        return self.eps[0] if len(self.eps) == 1 else min(self.eps, key=lambda eps: _error(layer, eps))


def has_constants(module: nn.Module) -> bool:
    """Return whether a module has weight, bias and statistics as buffers, and is not a BN layer of torch."""
    buffers = module._buffers
    return not isinstance(module, _BatchNorm) and all(
        isinstance(buffers.get(name), Tensor) for name in _TENSORS
    )


def _error(layer: nn.Module, eps: float) -> float:
    """Return the distance of the layer's outputs, at inputs one above its means, from those with an ε."""
    weight, bias, mean, var = (layer.get_buffer(name).detach() for name in _TENSORS)
    x = (mean + 1).reshape(1, -1, 1, 1)
    with torch.no_grad():
        try:
            # Without hooks, which should not see the trial.
            got = type(layer).forward(layer, x)
        except Exception:  # the user's forward may raise anything: then take the first value
            return 0.0
    if not isinstance(got, Tensor) or got.shape != x.shape:
        return 0.0
    moved = x.flatten().double() - mean.double()
    expected = moved * weight.double() * (var.double() + eps).rsqrt() + bias.double()
    return (got.flatten().double() - expected).abs().sum().item()
