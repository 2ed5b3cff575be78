"""Functions on a model's instances that would go on calling the old modules after a copy."""

import types
from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import nn

from normwise.errors import ModelError
from normwise.surgery.snapshot import FIXED

#: Dicts of every module; hooks among them may refer to what they like.
_EVERY_MODULE = frozenset(vars(nn.Module()))


def check_functions(model: nn.Module, advice: str) -> None:
    """Refuse a model with a function as an attribute, such as ``forward``, that calls modules by a closure.

    A copy of the model has the same function, and with it the modules of the model that was copied. Methods that are
    bound to a module and ``functools.partial`` are no such functions: a copy has its own.

    Args:
        model: Any model.
        advice: What to do instead, for the error.

    Raises:
        ModelError: there is such a function.
    """
    modules = set(model.modules())
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name not in _EVERY_MODULE and _reaches(value, modules, {id(module)}):
                where = (
                    f"{type(module).__name__} {path!r}" if path else f"the model ({type(module).__name__})"
                )
                raise ModelError(
                    f"{name} of {where} is a function that was set on the instance and calls modules of this model, "
                    f"which it would do in a copy as well; {advice}"
                )


def _reaches(value: Any, modules: set[nn.Module], seen: set[int]) -> bool:
    """Return whether a function in ``value`` refers to one of the modules."""
    if type(value) in FIXED or id(value) in seen:
        return False
    seen.add(id(value))
    if isinstance(value, types.FunctionType):
        return any(_is_bound(used, modules) or _reaches(used, modules, seen) for used in _used_by(value))
    if isinstance(value, types.MethodType):
        return _reaches(value.__func__, modules, seen)
    if isinstance(value, partial):
        return any(
            _reaches(item, modules, seen) for item in (value.func, *value.args, *value.keywords.values())
        )
    if isinstance(value, (list, tuple, set)):
        return any(_reaches(item, modules, seen) for item in value)
    if isinstance(value, dict):
        return any(_reaches(item, modules, seen) for item in value.values())
    return False


def _is_bound(value: Any, modules: set[nn.Module]) -> bool:
    """Return whether it is one of the modules, or is bound to one."""
    if type(value) in FIXED:
        return False
    if isinstance(value, nn.Module):
        return value in modules
    if isinstance(value, types.MethodType):
        return isinstance(value.__self__, nn.Module) and value.__self__ in modules
    if isinstance(value, partial):
        return any(_is_bound(item, modules) for item in (value.func, *value.args, *value.keywords.values()))
    if isinstance(value, (list, tuple)):
        return any(_is_bound(item, modules) for item in value)
    return isinstance(value, dict) and any(_is_bound(item, modules) for item in value.values())


def _used_by(function: types.FunctionType) -> Iterator[Any]:
    """Yield the objects that a function refers to: closure, defaults, and globals of its own file."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # an empty cell
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for name in _names_in(function.__code__):
        used = function.__globals__.get(name)
        # Functions of other files can't know this model.
        if not isinstance(used, types.FunctionType) or used.__globals__ is function.__globals__:
            yield used


def _names_in(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)
