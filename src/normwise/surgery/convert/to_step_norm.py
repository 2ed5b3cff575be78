"""Conversion of norms with statistics per step to synchronised ones, and back."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from normwise.layers import kind_of, kind_of_norm
from normwise.layers.known_classes import conversion_families
from normwise.nn.convertible import settings_of
from normwise.nn.mixins.change_class import change_class
from normwise.nn.mixins.class_mixins import made_of
from normwise.nn.mixins.frozen import is_frozen, unfreeze_layer
from normwise.surgery.convert.describe_norm import MEMORY
from normwise.surgery.convert.given_numbers import set_on
from normwise.surgery.core.decision import LeftError


def step_class(layer: nn.Module, name: str) -> type[Any] | None:
    """Return the class of a norm with several slots for the target of a name; None if there is none."""
    kind = kind_of(layer)
    if kind is None or kind.known is None or not kind.traits.several_slots:
        return None
    for target in conversion_families(kind.family).get(name, ()):
        if issubclass(target, kind.known) or issubclass(kind.known, target):
            return target
    return None


def change_step_class(layer: Any, target: type[Any], given: Mapping[str, Any]) -> str:
    """Give a norm with several slots another class of its family, in place, and return the outcome.

    Its tensors, hooks, mode and attributes stay the same. A setting that the new class does not have is stored on
    the layer, for the conversion back.

    Raises:
        LeftError: the norm has the class already, is a subclass, which may do anything, or needs statistics that
            are not requested.
    """
    before = made_of(type(layer))[-1]
    if before is not kind_of_norm(layer).known:
        raise LeftError(f"{before.__name__} may do anything in its forward")
    if given.get("track_running_stats") is False:
        raise LeftError("its running statistics can't be dropped: it normalises batches of one by them")
    memory = vars(layer).get(MEMORY, {})
    values = {
        name: given.get(name, getattr(layer, name, memory.get(name, default)))
        for name, default in settings_of(target).items()
    }
    wanted = values | {name: given[name] for name in ("eps", "momentum") if name in given}
    frozen = is_frozen(layer)
    same = target is before and all(getattr(layer, name) == value for name, value in wanted.items())
    if same and not frozen:
        raise LeftError("it is one already")
    unfreeze_layer(layer)
    vars(layer).pop(MEMORY, None)
    gone = {name: default for name, default in settings_of(before).items() if name not in values}
    if lost := _let_go(layer, gone):
        vars(layer)[MEMORY] = lost
    change_class(layer, target)
    for name, value in values.items():
        setattr(layer, name, value)
    notes = [f"now {target.__module__.rpartition('.')[0]}.{target.__name__}({layer.num_features})"]
    notes += set_on(layer, given)
    return "; ".join([*notes, *["it is not frozen any more"] * frozen])


def _let_go(layer: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Delete settings, given with their defaults, and return those that another class must store."""
    values = {name: getattr(layer, name) for name in settings}
    for name in settings:
        delattr(layer, name)
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, (bool, int, float, str)) and value != settings[name]
    }
