"""Objects besides the model that training may change: those reachable from a loss and an optimiser."""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer

#: Most objects, and most items of a container, that are visited: a data set may hold millions.
_MOST_OBJECTS, _MOST_ITEMS = 10_000, 100
_PASSED_OVER = (str, bytes, int, float, complex, bool, type(None), type, ModuleType, Tensor, np.ndarray)
#: Attributes of every module, which a snapshot covers by itself.
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
#: Libraries whose functions refer to no objects of the user.
_LIBRARIES = ("torch", "numpy", "normwise", "builtins", "functools")


class ReachedObjects(nn.Module):
    """Module that holds all objects reachable from some, so that a snapshot covers them.

    Objects are reached through attributes, items of containers, and closures and globals of functions: a loss that
    makes whole steps refers in this way to the optimiser, a scheduler or a gradient scaler, and a model may have
    layers in a plain list.
    """

    def __init__(self, *roots: Any) -> None:
        super().__init__()
        modules: dict[int, nn.Module] = {}
        others: list[Any] = []
        for value in _walk(roots):
            if isinstance(value, nn.Module):
                modules[id(value)] = value
            elif isinstance(getattr(value, "__dict__", None), dict) and not isinstance(
                value, (FunctionType, MethodType)
            ):
                others.append(value)
        vars(self)["others"] = others
        vars(self)["reached"] = list(modules.values())

    @property
    def models(self) -> list[nn.Module]:
        """Return this module, and each reached module."""
        return [self, *vars(self)["reached"]]

    def drop_gradients(self) -> None:
        """Set the gradients of all parameters aside, so that nothing writes into them."""
        for parameter in self._all_parameters():
            parameter.grad = None

    def _all_parameters(self) -> Iterator[Tensor]:
        for module in vars(self)["reached"]:
            yield from module.parameters()
        for value in vars(self)["others"]:
            if isinstance(value, Optimizer):
                for group in value.param_groups:
                    yield from group["params"]


def _walk(roots: tuple[Any, ...]) -> Iterator[Any]:
    queue: deque[Any] = deque(roots)
    seen: dict[int, Any] = {}  # keep the objects, too: an id is unique only during their lifetime
    while queue and len(seen) < _MOST_OBJECTS:
        value = queue.popleft()
        if isinstance(value, _PASSED_OVER) or id(value) in seen:
            continue
        seen[id(value)] = value
        yield value
        queue.extend(_parts(value))


def _parts(value: Any) -> list[Any]:
    if isinstance(value, Optimizer):
        return []  # its state is tensors
    if isinstance(value, Mapping):
        return list(value.values()) if len(value) <= _MOST_ITEMS else []
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return list(value) if len(value) <= _MOST_ITEMS else []
    if isinstance(value, MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, FunctionType):
        return _of_function(value)
    if isinstance(value, nn.Module):
        own = [item for name, item in vars(value).items() if name not in _OF_EVERY_MODULE]
        return [*value.children(), *own]
    with suppress(Exception):  # the user's object may return anything
        return [*vars(value).values(), *_call_of(value)]
    return []


def _call_of(value: Any) -> list[Any]:
    # A callable object, such as a loss: globals of its method count as well.
    call = getattr(type(value), "__call__", None)  # noqa: B004
    return [call] if isinstance(call, FunctionType) else []


def _of_function(function: FunctionType) -> list[Any]:
    found: list[Any] = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # the name has no value yet
            found.append(cell.cell_contents)
    if (function.__module__ or "").partition(".")[0] not in _LIBRARIES:
        names = function.__globals__
        found += [names[name] for name in _names(function.__code__) if name in names]
    return found


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
