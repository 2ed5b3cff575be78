"""A second tree of modules over the same parameters and buffers."""

import copy
import types
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from normwise.surgery.replaced_forward import check_functions
from normwise.surgery.snapshot import FIXED

#: Attributes of every module that are dicts; a twin needs its own dicts, with the same things in them.
_DICTS = tuple(name for name, value in vars(nn.Module()).items() if isinstance(value, dict))


def twin(model: nn.Module) -> nn.Module:
    """Return a model of new modules that share the old ones' parameters, buffers and hooks.

    A change of the twin's modules does not show in the model; training changes the parameters and buffers of
    both. A module that stands in several places has one twin in all of them. Methods, lists and dicts that refer to
    modules of the model refer to the twins.

    Raises:
        ModelError: a function that was set on an instance calls the model's modules, and would in the twin.
    """
    check_functions(
        model, "pass the model from before that: del module.forward brings back its class's forward"
    )
    twins: dict[nn.Module, nn.Module] = {}

    def of(module: nn.Module) -> nn.Module:
        if module not in twins:
            twins[module] = other = _copy(module)
            for name in _DICTS:
                other.__dict__[name] = copy.copy(module.__dict__[name])
            for name, child in module._modules.items():
                other._modules[name] = None if child is None else of(child)
        return twins[module]

    new = of(model)
    for other in twins.values():
        attributes = vars(other)
        for name, value in attributes.items():
            if name not in ("_modules", "_parameters", "_buffers"):
                attributes[name] = rebound(value, twins)
    return new


def rebound(value: Any, others: Mapping[nn.Module, nn.Module]) -> Any:
    """Return ``value`` with the other modules in methods, lists and dicts; itself where it refers to none of them."""
    new: Any = value
    if type(value) in FIXED:
        return value
    if isinstance(value, nn.Module):
        return others.get(value, value)
    if isinstance(value, types.MethodType) and isinstance(value.__self__, nn.Module):
        owner = others.get(value.__self__)
        return value if owner is None else types.MethodType(value.__func__, owner)
    if type(value) is partial:
        parts = (value.func, value.args, value.keywords)
        func, args, keywords = (rebound(part, others) for part in parts)
        if any(a is not b for a, b in zip((func, args, keywords), parts, strict=True)):
            new = partial(func, *args, **keywords)
    elif isinstance(value, (list, tuple, set)) and type(value) in (list, tuple, set):
        items = [rebound(item, others) for item in value]
        if any(a is not b for a, b in zip(items, value, strict=True)):
            new = type(value)(items)
    elif isinstance(value, dict) and type(value).__module__ in ("builtins", "collections"):
        changed = {key: other for key, item in value.items() if (other := rebound(item, others)) is not item}
        if changed:
            new = copy.copy(value)
            new.update(changed)
    return new


def _copy(module: nn.Module) -> nn.Module:
    if not is_parametrized(module):
        return copy.copy(module)
    # torch refuses to copy one that way, for fear that it is to be pickled.
    other = object.__new__(type(module))
    vars(other).update(vars(module))
    vars(other).pop("_compiled_call_impl", None)
    return other
