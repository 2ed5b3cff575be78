"""The one answer to what a module is as a norm layer."""

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
#: Methods that make up a forward pass: torch's layers have the first alone.
_FORWARD_PASS = ("forward", "_normalise", "_compute")
#: A subclass of torch's base of BN layers, but of none of the layers.
_OTHER_BATCH = NormTraits("batch")
_OTHER = NormTraits(
    "other", foldable=False, convertible=False, reason="only its name tells that it is a norm"
)


@dataclass(frozen=True)
class LayerKind:
    """A module as a norm layer: what its class tells, and in what state it is now.

    Three attributes tell how far the class can be trusted. ``exact`` is for what may be done to no subclass at all;
    ``forward_of`` for what depends on what a call computes; ``overrides`` for what gives up the class.

    Attributes:
        layer: The module.
        traits: What its class declares; see :class:`normwise.nn.norm_traits.NormTraits`.
        known: The class of torch's or ours that is that of the layer, or one above it; None where there is none.
        adapter: The description of its family, for a layer of another library.
    """

    layer: Any
    traits: NormTraits
    known: type[Any] | None
    adapter: Adapter | None = None

    @property
    def family(self) -> str:
        """The family of its class, such as "batch"."""
        return self.traits.family

    @property
    def normalises_batches(self) -> bool:
        """True where it is batch normalization: with one mean and variance, with several, or of constants."""
        return self.family in ("batch", "step", "frozen")

    @property
    def learns_statistics(self) -> bool:
        """True where training may move its running statistics: it is BN, and not of constants."""
        return self.family in ("batch", "step")

    @property
    def ours(self) -> bool:
        """True where its class, or one above it, is of this package."""
        return self.known is not None and self.known not in TORCH

    @property
    def exact(self) -> bool:
        """True where its class itself is known, and not only one above it."""
        return type(self.layer) is self.known

    @property
    def fuses(self) -> bool:
        """True where a call of it can compute an activation and an addition as well; no subclass can."""
        return self.exact and self.traits.fuses

    @property
    def forward_of(self) -> type[Any] | None:
        """The class of torch's or ours whose forward pass it has; None where that is its own, or another library's.

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
        """Members of the known class that its class has otherwise, which would go with its class."""
        # What freezing or an activation put before its class is no part of it.
        own = made_of(type(self.layer))[-1]
        return () if self.known is None else tuple(sorted(set(overridden(own, self.known))))

    @property
    def has_own_attributes(self) -> bool:
        """True where a class that is neither torch's nor ours decides what its calls or its tensors are."""
        return has_own_attributes(self.layer)

    @property
    def adds_and_activates(self) -> bool:
        """True where a call of it takes ``residual`` and ``mask``, and ends in its ``activation``."""
        return self.traits.fuses and self.forward_of is not None

    @property
    def activation(self) -> str | None:
        """The activation that it ends in; only ours have one, whatever attributes others have."""
        return getattr(self.layer, "activation", None) if self.adds_and_activates else None

    @property
    def followers(self) -> dict[str, nn.Module]:
        """Modules of its own that it calls behind the normalization, by name, in this order."""
        if self.adapter is not None:
            return {name: self.layer._modules[name] for name in self.adapter.followers}
        return followers_of(self.layer)

    @property
    def eps(self) -> float:
        """The number added to the variance; some layers of others have no attribute that says so."""
        return float(self.layer.eps) if self.adapter is None else self.adapter.eps_of(self.layer)

    @property
    def frozen(self) -> bool:
        """True where its statistics stay what they are in training, too."""
        return self.family == "frozen" or is_frozen(self.layer)

    @property
    def initialised(self) -> bool:
        """True where it knows its channels, which a lazy layer does once it was called."""
        held = (*self.layer._parameters.values(), *self.layer._buffers.values())
        return not isinstance(self.layer, LazyModuleMixin) and not any(
            value is not None and is_lazy(value) for value in held
        )

    @property
    def has_statistics(self) -> bool:
        """True where it has a running mean and variance, as buffers or computed."""
        return all(getattr(self.layer, name, None) is not None for name in STATISTICS)

    @property
    def computed(self) -> tuple[str, ...]:
        """Names of its tensors that are computed from others, by a parametrization or by pruning."""
        held = self.layer._parameters.keys() | self.layer._buffers.keys()
        return tuple(name for name in (*PARAMETERS, *STATISTICS) if name not in held)

    @property
    def channels(self) -> int:
        """The number of channels; 0 where it has not been initialised."""
        if isinstance(self.layer, _BatchNorm) or self.traits.several_slots:
            return self.layer.num_features
        return self.layer.get_buffer("running_mean").numel()


def kind_of(module: nn.Module) -> LayerKind | None:
    """Return what a module is as a norm layer; None where it is none.

    Torch's layers, ours and subclasses of theirs are known by their classes, and those of other libraries by an adapter
    for each family. Any other module is a norm where its class is called so and it has no layers with weights in it.
    """
    kind = type(module)
    # Without what was put before its class, which may be ours.
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
    """Return what a layer is that is known to be a norm.

    Raises:
        TypeError: it is none.
    """
    if (kind := kind_of(layer)) is None:
        raise TypeError(f"{type(layer).__name__} is no norm layer")
    return kind
