"""What a normalisation layer is, apart from its class: what conversion takes from one class to another."""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from normwise import nn as layers
from normwise.find import BatchNorm, is_batch_norm, is_foreign_frozen
from normwise.nn.convertible import BUFFERS, PARAMETERS, from_batch_norm, settings_of
from normwise.nn.mixins.activation_mixin import Activated
from normwise.nn.mixins.class_mixins import made_of
from normwise.surgery.core.decision import LeftError
from normwise.surgery.core.example_arguments import Arguments
from normwise.surgery.fold.foreign_frozen import reason_against
from normwise.surgery.graph.overridden import overridden

#: torch's own BN layers, and how many axes besides those of batch and channels their inputs have.
TORCH: dict[type[Any], tuple[int, ...]] = {
    nn.BatchNorm1d: (1,),
    nn.BatchNorm2d: (2,),
    nn.BatchNorm3d: (3,),
    nn.SyncBatchNorm: (1, 2, 3),
}
INSTANCE: dict[type[Any], tuple[int, ...]] = {
    nn.InstanceNorm1d: (1,),
    nn.InstanceNorm2d: (2,),
    nn.InstanceNorm3d: (3,),
}
#: Where a layer says what its class has no place for: a plain dict that is copied and pickled with it.
MEMORY = "_before_conversion"
#: What it says for BN; all else are settings of our layers.
_FOR_BATCH = ("dimensions", "momentum", "track_running_stats")
#: What each module has by itself.
EVERY_MODULE = frozenset(vars(nn.Module()))


@dataclass
class NormDescription:
    """A normalisation layer, apart from its class.

    Attributes:
        layer: The layer itself.
        kind: Its class, without what freezing put before it.
        base: The known class whose forward it has; None for another's frozen BN.
        batch: A BN over the same parameters and, where it has some, statistics, with the same arguments.
        dimensions: Axes besides those of batch and channels; None where nothing tells.
        settings: What it has beyond torch's arguments, where that is not the default.
        own: Names of attributes and buffers that belong to its class, and don't go along to another.
        shape: Of its input on the example; None without one.
        called: Names of the tensors that the example calls it with, besides the input.
        like: A tensor of the type that new statistics have, on their device.
        notes: What the report must say of it.
    """

    layer: nn.Module
    kind: type[nn.Module]
    base: type[Any] | None
    batch: BatchNorm
    like: Tensor
    dimensions: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    shape: torch.Size | None = None
    called: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def is_batch_norm(self) -> bool:
        """Whether it normalises by batches."""
        return self.base is None or issubclass(self.base, BatchNorm)

    @property
    def positions(self) -> int | None:
        """How many positions an example has; None where none is known."""
        return None if self.shape is None else math.prod(self.shape[2:])


def families() -> dict[str, dict[type[Any], tuple[int, ...]]]:
    """The classes of BN layers that ``normwise.nn`` has, and their dimensions, by the name of their family."""
    found: dict[str, dict[type[Any], tuple[int, ...]]] = {}
    for name, kind in vars(layers).items():
        if not name.startswith("_") and isinstance(kind, type) and hasattr(kind, "conversion"):
            found.setdefault(kind.conversion, {})[kind] = kind.dimensions
    return found


def can_be_source(layer: nn.Module, *, to_batch_norm: bool) -> bool:
    """Whether it is a norm to convert: any BN, and of others those that ``convert`` made, or that become BN."""
    others = isinstance(layer, (nn.GroupNorm, *INSTANCE)) and (to_batch_norm or MEMORY in vars(layer))
    return is_batch_norm(layer) or others


def describe_norm(layer: nn.Module, call: Arguments | None, like: Tensor) -> NormDescription:
    """Describe a layer; ``call`` is one with the example, ``like`` a parameter of the model that it is in.

    Raises:
        LeftError: it can't be told from its class what it computes.
    """
    args, kwargs = ((), {}) if call is None else call
    inputs = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    shape = inputs[0].shape if inputs else None
    norm = _foreign(layer, like, shape) if is_foreign_frozen(layer) else _known(layer, like)
    if call is not None:
        norm.shape = shape
        norm.called = tuple(name for name, value in kwargs.items() if name != "input" and value is not None)
    if norm.dimensions is None and norm.shape is not None:
        norm.dimensions = max(1, len(norm.shape) - 2)
    return norm


def dimensions_of(layer: nn.Module) -> tuple[int, ...]:
    """How many axes, besides those of batch and channels, an input may have, as the class tells."""
    return _dimensions().get(_base(made_of(type(layer))[-1]), ())


def _dimensions() -> dict[type[Any] | None, tuple[int, ...]]:
    """Of all classes that are known."""
    ours = {kind: dimensions for family in families().values() for kind, dimensions in family.items()}
    return {**ours, **TORCH, **INSTANCE, nn.GroupNorm: ()}


def _base(kind: type[Any]) -> type[Any] | None:
    """The known class that another is, or is a subclass of."""
    return next((base for base in kind.__mro__ if base in _dimensions()), None)


def _known(layer: nn.Module, like: Tensor) -> NormDescription:
    *before, kind = made_of(type(layer))
    base = _base(kind)
    if isinstance(layer, LazyModuleMixin):
        raise LeftError("it has no parameters yet; run the model on a batch first")
    if base is None:
        raise LeftError(f"{kind.__name__} may do anything in its forward")
    held = {*layer._parameters, *layer._buffers}
    if not held.issuperset(PARAMETERS):
        raise LeftError(
            "its weight or bias is no parameter, but computed from others (parametrized or pruned); make it one first"
        )
    if isinstance(layer, BatchNorm) and not held.issuperset(BUFFERS):
        raise LeftError("its running statistics are no buffers, but computed from others (parametrized)")
    memory = vars(layer).get(MEMORY, {})
    like = layer._parameters["weight"] if layer._parameters["weight"] is not None else like
    held = {name: getattr(layer, name) for name in settings_of(base)}
    batch = from_batch_norm(BatchNorm, layer) if isinstance(layer, BatchNorm) else _fresh(layer, memory, like)
    if isinstance(layer, BatchNorm):
        reference: nn.Module = from_batch_norm(base, batch)
    else:
        reference = base(1, 1) if base is nn.GroupNorm else base(1)
    own = {*vars(reference), *reference._buffers, *reference._parameters} - EVERY_MODULE
    own |= {MEMORY, "_mode_when_thawed", "_requires_grad"}
    if Activated in before:
        held["activation"] = vars(layer)["activation"]
        own.add("activation")
    axes = dimensions_of(layer)
    given = {name: value for name, value in held.items() if value != settings_of(base).get(name)}
    return NormDescription(
        layer,
        kind,
        base,
        batch,
        like,
        axes[0] if len(axes) == 1 else memory.get("dimensions"),
        {name: value for name, value in memory.items() if name not in _FOR_BATCH} | given,
        frozenset(own),
    )


def _fresh(layer: Any, memory: dict[str, Any], like: Tensor) -> BatchNorm:
    """BN of new statistics over the parameters of a norm of another kind."""
    arguments = {name: memory[name] for name in ("momentum", "track_running_stats") if name in memory}
    channels = layer.num_channels if isinstance(layer, nn.GroupNorm) else layer.num_features
    batch = BatchNorm(
        channels, layer.eps, affine=layer.affine, device=like.device, dtype=like.dtype, **arguments
    )
    batch._parameters.update({name: layer._parameters.get(name) for name in PARAMETERS})
    return batch


def _foreign(layer: nn.Module, like: Tensor, shape: torch.Size | None) -> NormDescription:
    """Another's frozen BN, whose parameters are buffers."""
    buffers = dict(layer._buffers)
    more = {*buffers, *layer._parameters, *layer._modules} - {*PARAMETERS, *BUFFERS}
    if more:
        raise LeftError(f"it has {', '.join(sorted(more))} besides what BN has, and may compute with that")
    if reason := reason_against(layer, shape):
        raise LeftError(reason)
    mean = layer.get_buffer("running_mean")
    batch = BatchNorm(len(mean), float(getattr(layer, "eps", 1e-5)), device=mean.device, dtype=mean.dtype)
    for name in PARAMETERS:
        batch._parameters[name] = nn.Parameter(layer.get_buffer(name).detach())
    batch._buffers.update({name: buffers[name] for name in BUFFERS if name in buffers})
    named = re.search(r"([123])d", type(layer).__name__)
    own = frozenset({"eps", "num_features", *PARAMETERS, *BUFFERS})
    return NormDescription(
        layer,
        type(layer),
        None,
        batch,
        like,
        int(named[1]) if named else None,
        own=own,
        notes=["its γ and β were constants: they are parameters now, which no optimiser has yet"],
    )


def check_class(norm: NormDescription) -> None:
    """Check that another class may take the place of the layer's.

    Raises:
        LeftError: it does something of its own.
    """
    if "forward" in vars(norm.layer):
        raise LeftError("its forward was replaced by another one")
    if norm.base is not None and (own := sorted(set(overridden(norm.kind, norm.base)))):
        raise LeftError(
            f"{norm.kind.__name__} is a subclass with its own {', '.join(own)}, which would go with its class"
        )
