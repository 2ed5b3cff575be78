"""References of functions to modules, through closures, defaults and globals."""

import types
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from normwise.errors import ModelError
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.statistics.preserve.snapshot import FIXED
from normwise.surgery.core.example_arguments import Arguments
from normwise.surgery.core.run_example import run_example

#: Dicts of every module; hooks in them may refer to anything.
_EVERY_MODULE = frozenset(vars(nn.Module()))


def check_separate(old: nn.Module, new: nn.Module, advice: str) -> None:
    """Raise if a copy has a function as an attribute, such as ``forward``, that still calls modules of the old model.

    Args:
        old: Model that was copied.
        new: Copy of the model.
        advice: Advice for the error.

    Raises:
        ModelError: there is such a function.
    """
    modules = set(old.modules()) - set(new.modules())
    for path, module in new.named_modules():
        for name, value in vars(module).items():
            if name not in _EVERY_MODULE and reaches(value, modules, {id(module)}):
                where = (
                    f"{type(module).__name__} {path!r}" if path else f"the model ({type(module).__name__})"
                )
                raise ModelError(
                    f"{name} of {where} is a function that was set on the instance and calls modules of this model, "
                    f"which it would do in a copy as well; {advice}"
                )


def check_calls(old: nn.Module, new: nn.Module, arguments: Arguments) -> None:
    """Raise if a new model calls modules of the old one, through an object that was not copied.

    Raises:
        ModelError: the new model does so.
    """
    alone = dict.fromkeys(old.modules())
    for module in new.modules():
        alone.pop(module, None)
    paths = {module: path for path, module in old.named_modules()}

    def refuse(module: nn.Module, _: Any) -> None:
        raise ModelError(
            f"the new model calls {type(module).__name__} {paths[module]!r} of the given one, by way of an object that "
            "can't be copied, such as one in which a function set on an instance keeps the model; pass the model from "
            "before that"
        )

    with unchanged(old, new), torch.no_grad():
        for module in alone:
            module.register_forward_pre_hook(refuse, prepend=True)
        new.eval()
        run_example(new, arguments)


def reaches(value: Any, modules: set[nn.Module], seen: set[int]) -> bool:
    """Return whether a function in ``value`` refers to one of the modules."""
    if type(value) in FIXED or id(value) in seen:
        return False
    seen.add(id(value))
    if isinstance(value, types.FunctionType):
        return any(is_bound(used, modules) or reaches(used, modules, seen) for used in _used_by(value))
    if isinstance(value, types.MethodType):
        return reaches(value.__func__, modules, seen)
    if isinstance(value, partial):
        return any(
            reaches(item, modules, seen) for item in (value.func, *value.args, *value.keywords.values())
        )
    if isinstance(value, (list, tuple, set)):
        return any(reaches(item, modules, seen) for item in value)
    if isinstance(value, dict):
        return any(reaches(item, modules, seen) for item in value.values())
    return False


def is_bound(value: Any, modules: set[nn.Module]) -> bool:
    """Return whether a value is one of the modules, or bound to one."""
    if type(value) in FIXED:
        return False
    if isinstance(value, nn.Module):
        return value in modules
    if isinstance(value, types.MethodType):
        return isinstance(value.__self__, nn.Module) and value.__self__ in modules
    if isinstance(value, partial):
        return any(is_bound(item, modules) for item in (value.func, *value.args, *value.keywords.values()))
    if isinstance(value, (list, tuple)):
        return any(is_bound(item, modules) for item in value)
    return isinstance(value, dict) and any(is_bound(item, modules) for item in value.values())


def _used_by(function: types.FunctionType) -> Iterator[Any]:
    """Yield the objects that a function refers to: closure, defaults, and globals of its own file."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # an empty cell
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for name in names_in(function.__code__):
        used = function.__globals__.get(name)
        # Functions in other files can't refer to this model.
        if not isinstance(used, types.FunctionType) or used.__globals__ is function.__globals__:
            yield used


def names_in(code: types.CodeType) -> Iterator[str]:
    """Yield the names of globals and attributes in a piece of code, and in functions that it defines."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_in(constant)
