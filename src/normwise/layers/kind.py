"""Kinds of norm layers: what a module is as a norm."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from normwise.layers.foreign import Adapter, adapter_of
from normwise.layers.known_classes import TORCH, WEIGHTED, known_class
from normwise.layers.overridden import has_own_attributes, overridden
from normwise.nn.mixins.class_mixins import made_of
from normwise.nn.mixins.followed import followers_of
from normwise.nn.mixins.frozen import is_frozen
from normwise.nn.norm_traits import NormTraits

PARAMETERS, STATISTICS = ("weight", "bias"), ("running_mean", "running_var")
#: Methods of a forward pass; torch's layers have only the first.
_FORWARD_PASS = ("forward", "_normalise", "_compute")
#: Traits of a subclass of torch's base of BN layers that is not a subclass of a layer.
_OTHER_BATCH = NormTraits("batch")
_OTHER = NormTraits(
    "other", foldable=False, convertible=False, reason="only its name tells that it is a norm"
)


@dataclass(frozen=True)
class LayerKind:
    """Kind of a module as a norm layer: the traits of its class, and its current state.

    Three attributes say how far the class can be trusted. Check ``exact`` for changes that are not allowed for any
    subclass, ``forward_of`` if it matters what a call computes, and ``overrides`` before replacing the class.

    Attributes:
        layer: Module of the layer.
        traits: Traits that its class declares; see :class:`normwise.nn.norm_traits.NormTraits`.
        known: Class of torch or ours that is the layer's class or a base of it; None if there is none.
        adapter: Description of its family, for a layer of another library.
    """

    layer: Any
    traits: NormTraits
    known: type[Any] | None
    adapter: Adapter | None = None

    @property
    def family(self) -> str:
        """Return the family of its class, such as "batch"."""
        return self.traits.family

    @property
    def normalises_batches(self) -> bool:
        """Return whether it is batch normalization: with one or several means and variances, or frozen."""
        return self.family in ("batch", "step", "frozen")

    @property
    def learns_statistics(self) -> bool:
        """Return whether training may update its running statistics: it is BN, and not a frozen class."""
        return self.family in ("batch", "step")

    @property
    def ours(self) -> bool:
        """Return whether its class, or a base of it, is of this package."""
        return self.known is not None and self.known not in TORCH

    @property
    def exact(self) -> bool:
        """Return whether its class itself is known, and not only a base of it."""
        return type(self.layer) is self.known

    @property
    def fuses(self) -> bool:
        """Return whether a call of it can also compute an activation and an addition; subclasses can't."""
        return self.exact and self.traits.fuses

    @property
    def forward_of(self) -> type[Any] | None:
        """Return the class of torch or ours whose forward pass it has; None if it has its own, or another library's.

        Such a forward pass normalises its first argument, and in evaluation by ``running_mean`` and ``running_var``.
        """
        kind = type(self.layer)
        owner = next(above for above in kind.__mro__ if "forward" in vars(above))
        known = owner is _BatchNorm or (self.known is not None and issubclass(self.known, owner))
        same = all(
            getattr(kind, name, None) is getattr(self.known or owner, name, None) for name in _FORWARD_PASS
        )
        return owner if known and same and vars(self.layer).keys().isdisjoint(_FORWARD_PASS) else None

    @property
    def overrides(self) -> tuple[str, ...]:
        """Return the members of the known class that its class overrides, which replacing the class would lose."""
        # Mixins of freezing or of an activation do not belong to its class.
        own = made_of(type(self.layer))[-1]
        return () if self.known is None else tuple(sorted(set(overridden(own, self.known))))

    @property
    def has_own_attributes(self) -> bool:
        """Return whether a class other than torch's and ours defines its calls or its tensors."""
        return has_own_attributes(self.layer)

    @property
    def adds_and_activates(self) -> bool:
        """Return whether a call of it takes ``residual`` and ``mask``, and ends in its ``activation``."""
        return self.traits.fuses and self.forward_of is not None

    @property
    def activation(self) -> str | None:
        """Return the activation that it ends in; only our layers have one, whatever attributes others have."""
        return getattr(self.layer, "activation", None) if self.adds_and_activates else None

    @property
    def followers(self) -> dict[str, nn.Module]:
        """Return its own modules that it calls after the normalization, by name, in this order."""
        if self.adapter is not None:
            return {name: self.layer._modules[name] for name in self.adapter.followers}
        return followers_of(self.layer)

    @property
    def eps(self) -> float:
        """Return the number added to the variance, also for other libraries' layers without such an attribute."""
        return float(self.layer.eps) if self.adapter is None else self.adapter.eps_of(self.layer)

    @property
    def frozen(self) -> bool:
        """Return whether its statistics are fixed also in training."""
        return self.family == "frozen" or is_frozen(self.layer)

    @property
    def initialised(self) -> bool:
        """Return whether its number of channels is known, for a lazy layer after the first call."""
        held = (*self.layer._parameters.values(), *self.layer._buffers.values())
        return not isinstance(self.layer, LazyModuleMixin) and not any(
            value is not None and is_lazy(value) for value in held
        )

    @property
    def has_statistics(self) -> bool:
        """Return whether it has a running mean and variance, as buffers or computed."""
        return all(getattr(self.layer, name, None) is not None for name in STATISTICS)

    @property
    def computed(self) -> tuple[str, ...]:
        """Return the names of its tensors that are computed from others, by a parametrization or by pruning."""
        held = self.layer._parameters.keys() | self.layer._buffers.keys()
        return tuple(name for name in (*PARAMETERS, *STATISTICS) if name not in held)

    @property
    def channels(self) -> int:
        """Return the number of channels; 0 if it has not been initialised."""
        if isinstance(self.layer, _BatchNorm) or self.traits.several_slots:
            return self.layer.num_features
        return self.layer.get_buffer("running_mean").numel()


def kind_of(module: nn.Module) -> LayerKind | None:
    """Return the kind of a module as a norm layer; None if it is not a norm.

    Torch's layers, ours and their subclasses are recognised by their classes, those of other libraries by an
    adapter for each family. Any other module is a norm if its class has such a name and it contains no layers with
    weights.
    """
    kind = type(module)
    # Without mixins, which may be ours.
    found = known_class(made_of(kind)[-1])
    if (adapter := adapter_of(module)) is not None:
        return LayerKind(module, adapter.traits_of(module), None if found is None else found[0], adapter)
    if found is not None:
        return LayerKind(module, found[1], found[0])
    if isinstance(module, _BatchNorm):
        return LayerKind(module, _OTHER_BATCH, None)
    if "Norm" not in kind.__name__:
        return None
    return None if any(isinstance(m, WEIGHTED) for m in module.modules()) else LayerKind(module, _OTHER, None)


def kind_of_norm(layer: nn.Module) -> LayerKind:
    """Return the kind of a layer that is known to be a norm.

    Raises:
        TypeError: the layer is not a norm.
    """
    if (kind := kind_of(layer)) is None:
        raise TypeError(f"{type(layer).__name__} is not a norm layer")
    return kind
