"""Descriptions of normalization layers independent of their class, which conversion carries to another class."""

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

#: Attribute with settings that the class does not have: a plain dict that is copied and pickled with the
#: layer.
MEMORY = "_before_conversion"
#: Settings of BN in it; all others are settings of our layers.
_FOR_BATCH = ("dimensions", "momentum", "track_running_stats")
#: Attributes that every module has.
EVERY_MODULE = frozenset(vars(nn.Module()))


@dataclass
class NormDescription:
    """Description of a normalization layer, independent of its class.

    Attributes:
        layer: Described layer.
        family: Family of the norm, such as "batch".
        kind: Class of the layer, without the mixin of freezing.
        base: Known class whose forward the layer has; None for another library's frozen BN.
        batch: BN layer with the same parameters, arguments and, if the layer has some, statistics.
        dimensions: Number of axes besides batch and channels; None if unknown.
        settings: Arguments beyond torch's, if they are not the defaults.
        own: Names of attributes and buffers that belong to the class, and are not carried over.
        shape: Shape of the layer's input on the example; None without one.
        called: Names of the tensors besides the input that the layer is called with on the example.
        like: Tensor with the dtype and device for new statistics.
        followers: Names of the layer's own modules that it calls after the normalization.
        notes: Notes on the layer for the report.
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
        """Return whether the norm normalises by batches."""
        return self.family in ("batch", "frozen")

    @property
    def positions(self) -> int | None:
        """Return the number of positions of the example's input; None if unknown."""
        return None if self.shape is None else math.prod(self.shape[2:])


def can_be_source(layer: nn.Module, *, to_batch_norm: bool) -> bool:
    """Return whether a norm is to be converted: BN, a norm that ``convert`` made, or a norm that becomes BN."""
    kind = kind_of(layer)
    if kind is None or not kind.traits.convertible:
        return False
    return kind.normalises_batches or to_batch_norm or MEMORY in vars(layer)


def describe_norm(layer: nn.Module, call: Arguments | None, like: Tensor) -> NormDescription:
    """Describe a layer; ``call`` has its arguments on the example, ``like`` is a parameter of its model.

    Raises:
        LeftError: the class does not determine what the layer computes.
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
            "its weight or bias is not a parameter, but computed from others (parametrized, pruned); make it one first"
        )
    if is_batch_norm and set(STATISTICS) & set(what.computed):
        raise LeftError("its running statistics are not buffers, but computed from others (parametrized)")
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
    """Return BN with new statistics and the parameters of a norm of another kind."""
    arguments = {name: memory[name] for name in ("momentum", "track_running_stats") if name in memory}
    channels = layer.num_channels if isinstance(layer, nn.GroupNorm) else layer.num_features
    batch = _BatchNorm(
        channels, layer.eps, affine=layer.affine, device=like.device, dtype=like.dtype, **arguments
    )
    batch._parameters.update({name: layer._parameters.get(name) for name in PARAMETERS})
    return batch


def _constants(what: LayerKind, like: Tensor) -> NormDescription:
    """Describe another library's frozen BN, whose parameters are buffers."""
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
    """Check that another class may replace the layer's.

    Raises:
        LeftError: the layer has its own behaviour.
    """
    if "forward" in vars(norm.layer):
        raise LeftError("its forward was replaced by another one")
    kind = kind_of_norm(norm.layer)
    if kind.adapter is None and (own := kind.overrides):
        raise LeftError(
            f"{norm.kind.__name__} is a subclass with its own {', '.join(own)}, which would go with its class"
        )
