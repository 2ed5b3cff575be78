"""Descriptions of normalisation layers apart from their class: what conversion takes from one class to another."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from normwise.layers import LayerKind, input_of_call, kind_of, kind_of_norm
from normwise.layers.kind import STATISTICS
from normwise.layers.reasons import UNINITIALISED
from normwise.nn.convertible import BUFFERS, PARAMETERS, from_batch_norm, settings_of
from normwise.nn.mixins.activation_mixin import Activated
from normwise.nn.mixins.class_mixins import made_of
from normwise.surgery.core.decision import LeftError
from normwise.surgery.core.example_arguments import Arguments
from normwise.surgery.proof.foreign_layer import check_foreign

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
        family: Its family of norms, such as "batch".
        kind: Its class, without what freezing put before it.
        base: The known class whose forward it has; None for another's frozen BN.
        batch: A BN over the same parameters and, where it has some, statistics, with the same arguments.
        dimensions: Axes besides those of batch and channels; None where nothing tells.
        settings: What it has beyond torch's arguments, where that is not the default.
        own: Names of attributes and buffers that belong to its class, and don't go along to another.
        shape: Of its input on the example; None without one.
        called: Names of the tensors that the example calls it with, besides the input.
        like: A tensor of the type that new statistics have, on their device.
        followers: Names of modules of its own that it calls behind the normalization.
        notes: What the report must say of it.
    """

    layer: nn.Module
    family: str
    kind: type[nn.Module]
    base: type[Any] | None
    batch: _BatchNorm
    like: Tensor
    dimensions: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    shape: torch.Size | None = None
    called: tuple[str, ...] = ()
    followers: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def is_batch_norm(self) -> bool:
        """True where it normalises by batches."""
        return self.family in ("batch", "frozen")

    @property
    def positions(self) -> int | None:
        """Number of positions of an example; None where none is known."""
        return None if self.shape is None else math.prod(self.shape[2:])


def can_be_source(layer: nn.Module, *, to_batch_norm: bool) -> bool:
    """Return whether it is a norm to convert: any BN, and of others those that ``convert`` made, or that become BN."""
    kind = kind_of(layer)
    if kind is None or not kind.traits.convertible:
        return False
    return kind.normalises_batches or to_batch_norm or MEMORY in vars(layer)


def describe_norm(layer: nn.Module, call: Arguments | None, like: Tensor) -> NormDescription:
    """Describe a layer; ``call`` is one with the example, ``like`` a parameter of the model that it is in.

    Raises:
        LeftError: it can't be told from its class what it computes.
    """
    args, kwargs = ((), {}) if call is None else call
    x = input_of_call(args, kwargs)
    shape = None if x is None else x.shape
    kind = kind_of_norm(layer)
    norm = _constants(kind, like) if kind.family == "frozen" else _known(kind, like)
    norm.followers = tuple(kind.followers)
    if kind.adapter is not None:
        check_foreign(kind, x, trains=kind.learns_statistics)
    if call is not None:
        norm.shape = shape
        norm.called = tuple(name for name, value in kwargs.items() if name != "input" and value is not None)
    if norm.dimensions is None and norm.shape is not None:
        norm.dimensions = max(1, len(norm.shape) - 2)
    return norm


def _known(what: LayerKind, like: Tensor) -> NormDescription:
    layer, base = what.layer, what.known
    *before, kind = made_of(type(layer))
    if not what.initialised:
        raise LeftError(f"it {UNINITIALISED}")
    if base is None:
        raise LeftError(f"{kind.__name__} may do anything in its forward")
    is_batch_norm = what.family == "batch"
    if set(PARAMETERS) & set(what.computed):
        raise LeftError(
            "its weight or bias is no parameter, but computed from others (parametrized or pruned); make it one first"
        )
    if is_batch_norm and set(STATISTICS) & set(what.computed):
        raise LeftError("its running statistics are no buffers, but computed from others (parametrized)")
    memory = vars(layer).get(MEMORY, {})
    like = layer._parameters["weight"] if layer._parameters["weight"] is not None else like
    held = {name: getattr(layer, name) for name in settings_of(base)}
    batch = from_batch_norm(_BatchNorm, layer) if is_batch_norm else _fresh(layer, memory, like)
    if is_batch_norm:
        reference: nn.Module = from_batch_norm(base, batch)
    else:
        reference = base(1, 1) if base is nn.GroupNorm else base(1)
    own = {*vars(reference), *reference._buffers, *reference._parameters} - EVERY_MODULE
    own |= {MEMORY, "_mode_when_thawed", "_requires_grad"}
    if Activated in before:
        held["activation"] = vars(layer)["activation"]
        own.add("activation")
    axes = what.traits.dimensions
    given = {name: value for name, value in held.items() if value != settings_of(base).get(name)}
    return NormDescription(
        layer,
        what.family,
        kind,
        base,
        batch,
        like,
        axes[0] if len(axes) == 1 else memory.get("dimensions"),
        {name: value for name, value in memory.items() if name not in _FOR_BATCH} | given,
        frozenset(own),
    )


def _fresh(layer: Any, memory: dict[str, Any], like: Tensor) -> _BatchNorm:
    """BN of new statistics over the parameters of a norm of another kind."""
    arguments = {name: memory[name] for name in ("momentum", "track_running_stats") if name in memory}
    channels = layer.num_channels if isinstance(layer, nn.GroupNorm) else layer.num_features
    batch = _BatchNorm(
        channels, layer.eps, affine=layer.affine, device=like.device, dtype=like.dtype, **arguments
    )
    batch._parameters.update({name: layer._parameters.get(name) for name in PARAMETERS})
    return batch


def _constants(what: LayerKind, like: Tensor) -> NormDescription:
    """Describe another's frozen BN, whose parameters are buffers."""
    layer, axes = what.layer, what.traits.dimensions
    buffers = dict(layer._buffers)
    more = {*buffers, *layer._parameters, *layer._modules} - {*PARAMETERS, *BUFFERS, *what.followers}
    if more:
        raise LeftError(f"it has {', '.join(sorted(more))} besides what BN has, and may compute with that")
    mean = layer.get_buffer("running_mean")
    batch = _BatchNorm(len(mean), what.eps, device=mean.device, dtype=mean.dtype)
    for name in PARAMETERS:
        batch._parameters[name] = nn.Parameter(layer.get_buffer(name).detach())
    batch._buffers.update({name: buffers[name] for name in BUFFERS if name in buffers})
    own = frozenset({"eps", "num_features", *PARAMETERS, *BUFFERS})
    return NormDescription(
        layer,
        what.family,
        type(layer),
        None,
        batch,
        like,
        axes[0] if axes else None,
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
    kind = kind_of_norm(norm.layer)
    if kind.adapter is None and (own := kind.overrides):
        raise LeftError(
            f"{norm.kind.__name__} is a subclass with its own {', '.join(own)}, which would go with its class"
        )
