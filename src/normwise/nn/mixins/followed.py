"""Norms that call their own modules afterwards, as norms of other libraries call their activations."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

from normwise.functional import batch_norm
from normwise.nn.batch_norm import BatchNorm2d, _BatchNorm
from normwise.nn.mixins.change_class import change_class
from normwise.nn.mixins.class_mixins import Derived, derived
from normwise.nn.tools.activation_module import activation_of_module
from normwise.nn.tools.hooks import has_global_hooks, has_hooks
from normwise.nn.tools.scripted import NotScriptable
from normwise.nn.tools.traced_leaf import is_traced, leaf_call

_STATISTICS = ("running_mean", "running_var")


class Followed(Derived, NotScriptable):
    r"""Mixin of any norm that computes :math:`y = f_k(\dots f_1(\mathrm{norm}(x)))`.

    A norm of ours does so in one pass over memory if that is equivalent. The modules are checked at each call: an
    activation that was exchanged, or has hooks now, is called separately.
    """

    _followers: tuple[str, ...]

    def forward(self, input: Tensor) -> Tensor:
        """Normalise, then call the modules."""
        return _forward(self, super().forward, input)


class FusedFollowed(Derived, BatchNorm2d, NotScriptable):
    """Mixin of another library's BN layer, so that our kernels compute it.

    ``isinstance`` holds for both classes, and the layer's modules keep their paths.
    """

    _followers: tuple[str, ...]

    def forward(self, input: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Normalise and activate, as :class:`Followed` does."""
        return _forward(self, super().forward, input)


class FusedConstants(Derived, NotScriptable):
    """Mixin of another library's frozen BN layer, so that our kernels compute it."""

    _followers: tuple[str, ...]
    _fused_eps: float

    def forward(self, input: Tensor) -> Tensor:
        """Scale, shift and activate, in one pass over memory if that is equivalent."""
        weight, bias, mean, var = (self.get_buffer(name) for name in ("weight", "bias", *_STATISTICS))
        if type(input) is not Tensor or input.dtype != weight.dtype or input.dim() != 4:
            # For other inputs the library's own forward decides the dtype or raises.
            return super().forward(input)
        followers = followers_of(self)
        name = fused_activation(followers.values())
        eps = getattr(self, "eps", self._fused_eps)
        output = batch_norm(input, mean, var, weight, bias, False, eps=eps, activation=name)
        for module in followers.values() if name is None else ():
            output = module(output)
        return output


def _forward(layer: nn.Module, normalise: Callable[[Tensor], Any], input: Tensor) -> Any:
    followers = followers_of(layer)
    if isinstance(layer, _BatchNorm):
        if is_traced(input):
            return leaf_call(layer, input)
        if (name := fused_activation(followers.values())) is not None:
            return layer.normalise_and_add(input, None, name)
    output = normalise(input)
    for module in followers.values():
        output = module(output)
    return output


def let_follow(layer: nn.Module, names: Iterable[str]) -> None:
    """Make a norm of any kind, in place, call modules that it has or will have afterwards."""
    vars(layer)["_followers"] = tuple(names)
    change_class(layer, derived(Followed, type(layer)))


def fuse_followers(layer: nn.Module, names: Iterable[str]) -> None:
    """Make our kernels compute another library's BN layer for images, in place, with the modules that follow."""
    vars(layer)["_followers"] = tuple(names)
    change_class(layer, derived(FusedFollowed, type(layer)))


def fuse_constants(layer: nn.Module, names: Iterable[str], eps: float) -> None:
    """Make our kernels compute another library's frozen BN layer, in place, with the modules that follow."""
    vars(layer).update(_followers=tuple(names), _fused_eps=eps)
    change_class(layer, derived(FusedConstants, type(layer)))


def followers_of(layer: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that a layer calls after normalising because of a mixin here, by name."""
    return {name: layer.get_submodule(name) for name in vars(layer).get("_followers", ())}


def fused_activation(followers: Iterable[nn.Module]) -> str | None:
    """Return the name of the activation that the modules compute together, if a layer of ours can fuse it."""
    modules = list(followers)
    if has_global_hooks() or any(has_hooks(module) for module in modules):
        return None
    working = [module for module in modules if type(module) is not nn.Identity]
    return activation_of_module(working[0]) if len(working) == 1 else None
