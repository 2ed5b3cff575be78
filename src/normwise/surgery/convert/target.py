"""Conversion of a layer to another class, with its tensors, hooks, modes and attributes."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from normwise.layers import kind_of_norm
from normwise.nn.convertible import BUFFERS, PARAMETERS
from normwise.nn.mixins.activation_mixin import Activated, activate_layer
from normwise.nn.mixins.change_class import become
from normwise.nn.mixins.class_mixins import made_of
from normwise.nn.mixins.followed import Followed, let_follow
from normwise.nn.mixins.frozen import is_frozen, unfreeze_layer
from normwise.surgery.convert.describe_norm import (
    EVERY_MODULE,
    MEMORY,
    NormDescription,
    can_be_source,
    check_class,
    describe_norm,
)
from normwise.surgery.core.decision import LeftError
from normwise.surgery.core.example_arguments import Arguments


@dataclass(frozen=True)
class ConvertedLayer:
    """Outcome of converting a layer.

    Attributes:
        detail: Text of the report.
        alters: Whether the layer now computes something else in evaluation.
        retrain: Whether that is another normalization, for which the weights were not trained.
    """

    detail: str
    alters: bool = False
    retrain: bool = False


class NormTarget(ABC):
    """Norm that layers can be converted to; settings in ``given`` override those of a layer."""

    #: Whether the norm normalises by batches.
    is_batch_norm: ClassVar[bool]

    def __init__(self, name: str, given: Mapping[str, Any]) -> None:
        self.name, self.given = name, given

    @property
    @abstractmethod
    def settings(self) -> set[str]:
        """Return the names of the settings that may be given."""

    def converts(self, layer: nn.Module) -> bool:
        """Return whether this target is one for the layer."""
        return can_be_source(layer, to_batch_norm=self.is_batch_norm)

    @abstractmethod
    def convert(self, layer: nn.Module, call: Arguments | None, like: Tensor) -> ConvertedLayer:
        """Convert a layer, in place; ``call`` has its arguments on the example, ``like`` is a parameter of its model.

        Raises:
            LeftError: the layer can't be converted, and is unchanged.
        """


class RebuiltNorm(NormTarget):
    """Target that is another class of layers."""

    @abstractmethod
    def make(self, norm: NormDescription) -> nn.Module:
        """Return a new layer with the norm's parameters, and add notes for the report to the norm's notes.

        Raises:
            LeftError: the norm can't be converted.
        """

    def convert(self, layer: nn.Module, call: Arguments | None, like: Tensor) -> ConvertedLayer:
        """Convert a layer, in place: the object stays the same, with all references to it."""
        norm = describe_norm(layer, call, like)
        had, eps = layer._buffers.get("running_mean"), kind_of_norm(layer).eps
        new = self.make(norm)
        if made_of(type(new))[-1] is not norm.kind:
            check_class(norm)
        _let_follow(new, norm, self.name)
        if _is_same(new, norm):
            raise LeftError(
                "it is one already" if norm.kind is norm.base else "it is a subclass of one already"
            )
        _remember(new, norm)
        has = new._buffers.get("running_mean")
        notes = [f"now {_described(new)}", *norm.notes, *_notes(new, norm, had, has)]
        # Only now, when nothing can fail any more.
        unfreeze_layer(layer)
        _take_along(new, norm)
        become(layer, new)
        other = not (self.is_batch_norm and norm.is_batch_norm)
        return ConvertedLayer("; ".join(notes), other or has is not had or vars(layer)["eps"] != eps, other)


def _let_follow(new: nn.Module, norm: NormDescription, name: str) -> None:
    """Give the new layer the operations after the norm and their arguments, if it lacks them."""
    is_foreign = kind_of_norm(norm.layer).adapter is not None
    if norm.followers and not (is_foreign and isinstance(new, norm.kind)):
        let_follow(new, norm.followers)
    activation = norm.settings.get("activation")
    if "activation" not in vars(new):
        if activation is not None or "residual" in norm.called:
            activate_layer(new, activation)
    elif vars(new)["activation"] != activation:
        raise LeftError(f"it ends in its activation {activation!r}, which {name!r} has no place for")
    takes = inspect.signature(new.forward).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values())
    if (unknown := sorted(set(norm.called) - set(takes))) and not takes_any:
        raise LeftError(f"the example calls it with {', '.join(unknown)}, which {name!r} has no place for")


def _is_same(new: nn.Module, norm: NormDescription) -> bool:
    layer = norm.layer
    attributes = {name: value for name, value in vars(new).items() if name not in EVERY_MODULE}
    return (
        type(new) is type(layer)
        and all(vars(layer).get(name) == value for name, value in attributes.items())
        and all(new._parameters[name] is layer._parameters[name] for name in PARAMETERS)
        and all(new._buffers.get(name) is layer._buffers.get(name) for name in BUFFERS)
    )


def _remember(new: nn.Module, norm: NormDescription) -> None:
    """Store settings on the new layer that it does not have, for the conversion back."""
    memory = {
        name: value
        for name, value in norm.settings.items()
        if name not in vars(new) and isinstance(value, (bool, int, float, str))
    }
    if len(kind_of_norm(new).traits.dimensions) != 1 and norm.dimensions is not None:
        memory["dimensions"] = norm.dimensions
    if not isinstance(new, _BatchNorm):
        usual = _BatchNorm(1)
        for name in ("momentum", "track_running_stats"):
            if getattr(norm.batch, name) != getattr(usual, name):
                memory[name] = getattr(norm.batch, name)
    if memory or not isinstance(new, _BatchNorm):
        vars(new)[MEMORY] = memory


def _take_along(new: nn.Module, norm: NormDescription) -> None:
    """Carry everything over that does not belong to the old class: hooks, mode, attributes, further tensors."""
    old, fresh = vars(norm.layer), vars(new)
    for name, value in old.items():
        if name in ("_parameters", "_buffers", "_modules"):
            further = {key: item for key, item in value.items() if key not in norm.own}
            fresh[name] = {
                **fresh[name],
                **{key: item for key, item in further.items() if key not in fresh[name]},
            }
        elif name == "_non_persistent_buffers_set":
            fresh[name] = fresh[name] | {key for key in value if key in fresh["_buffers"]}
        elif name in EVERY_MODULE and isinstance(value, dict):
            # The old dict itself: handles of hooks refer to it.
            value.update(fresh[name])
            fresh[name] = value
        elif name in EVERY_MODULE or (name not in norm.own and name not in fresh):
            fresh[name] = value


def _notes(new: nn.Module, norm: NormDescription, had: Tensor | None, has: Tensor | None) -> list[str]:
    notes = []
    if isinstance(new, Activated):
        behind = (
            "takes a residual" if new.activation is None else f"ends in its activation {new.activation!r}"
        )
        notes.append(f"it {behind} by a class of normwise, with the same keys")
    if isinstance(new, Followed):
        notes.append(
            f"its {' and '.join(norm.followers)} go along, by a class of normwise, with the same keys"
        )
    if is_frozen(norm.layer):
        notes.append("it is not frozen any more")
    if norm.base not in (None, norm.kind) and not isinstance(new, norm.kind):
        notes.append(f"what {norm.kind.__name__} defined is gone, what the layer has as attributes stays")
    if had is not None and has is None:
        notes.append("its running statistics are dropped")
    if has is not None and has is not had:
        notes.append("its statistics are reset: run normwise.calibrate")
    if has is not None and has.dtype in (torch.float16, torch.bfloat16):
        notes.append(f"its statistics are in {has.dtype}, in which they hardly move: train it in float32")
    return notes


def _described(new: nn.Module) -> str:
    kind = made_of(type(new))[-1]
    package = (
        "torch.nn" if kind.__module__.startswith("torch.nn.") else kind.__module__.split(".nn.")[0] + ".nn"
    )
    sizes: Any = (new.num_groups, new.num_channels) if isinstance(new, nn.GroupNorm) else (new.num_features,)
    return f"{package}.{kind.__name__}({', '.join(map(str, sizes))})"
