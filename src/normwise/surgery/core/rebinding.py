"""Rebinding of a copied module's attributes from the old modules to the copies."""

import copy
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from torch import nn

from normwise.statistics.preserve.snapshot import FIXED
from normwise.surgery.core.references import is_bound, names_in, reaches

_CONTAINERS = (list, set, dict, OrderedDict, defaultdict, deque)


class Rebinding:
    """Values in which some modules are replaced by others; each value is made once.

    With ``fresh``, lists, dicts and sets are always copied, so that a copy does not write into those of the old
    model; otherwise only those that refer to a replaced module. All other values without such a reference stay the
    same.
    """

    def __init__(self, others: Mapping[nn.Module, nn.Module], *, fresh: bool) -> None:
        self._others, self._fresh = others, fresh
        self._made: dict[int, Any] = {}
        #: Keeps visited objects alive, so that no other object gets their ids.
        self._looked_at: list[Any] = []

    def of(self, value: Any) -> Any:
        """Return the replacement of ``value``, which is itself if it refers to none of the modules."""
        if type(value) in FIXED:
            return value
        if isinstance(value, nn.Module):
            return self._others.get(value, value)
        if id(value) not in self._made:
            self._looked_at.append(value)
            self._made[id(value)] = value  # for objects that refer to themselves
            self._made[id(value)] = self._new(value)
        return self._made[id(value)]

    def _new(self, value: Any) -> Any:
        if isinstance(value, types.MethodType):
            owner, function = self.of(value.__self__), self.of(value.__func__)
            same = owner is value.__self__ and function is value.__func__
            return value if same else types.MethodType(function, owner)
        if isinstance(value, types.FunctionType):
            return self._function(value) if reaches(value, set(self._others), set()) else value
        if type(value) is partial:
            func, args = self.of(value.func), self.of(value.args)
            keywords = {name: self.of(item) for name, item in value.keywords.items()}
            same = func is value.func and args is value.args
            same = same and all(keywords[name] is item for name, item in value.keywords.items())
            return value if same else partial(func, *args, **keywords)
        if type(value) is tuple:
            items = tuple(map(self.of, value))
            return value if all(a is b for a, b in zip(items, value, strict=True)) else items
        if type(value) in _CONTAINERS:
            return self._container(value)
        return value

    def _container(self, value: Any) -> Any:
        before = list(value.values()) if isinstance(value, dict) else list(value)
        new: Any = copy.copy(value)
        if self._fresh:
            self._made[id(value)] = new
        items = [self.of(item) for item in before]
        if not self._fresh and all(a is b for a, b in zip(items, before, strict=True)):
            return value
        keys = list(value) if isinstance(value, dict) else []
        new.clear()
        if isinstance(value, dict):
            new.update(zip(keys, items, strict=True))
        elif isinstance(value, set):
            new.update(items)
        else:
            new.extend(items)
        return new

    def _function(self, value: types.FunctionType) -> types.FunctionType:
        """Return the function with the other modules in its own closure, defaults and globals."""
        cells = [types.CellType() for _ in value.__closure__ or ()]
        names = _Names(value.__globals__)
        new = types.FunctionType(value.__code__, names, value.__name__, None, tuple(cells) or None)
        # Before its references are visited, which may include itself.
        self._made[id(value)] = new
        for cell, old in zip(cells, value.__closure__ or (), strict=True):
            with suppress(ValueError):  # an empty cell
                cell.cell_contents = self.of(old.cell_contents)
        modules = set(self._others)
        for name in names_in(value.__code__):
            used = value.__globals__.get(name)
            if is_bound(used, modules) or reaches(used, modules, set()):
                names[name] = self.of(used)
        new.__defaults__ = value.__defaults__ and tuple(map(self.of, value.__defaults__))
        new.__kwdefaults__ = value.__kwdefaults__ and {
            name: self.of(default) for name, default in value.__kwdefaults__.items()
        }
        new.__qualname__, new.__module__, new.__doc__ = value.__qualname__, value.__module__, value.__doc__
        vars(new).update({name: self.of(item) for name, item in vars(value).items()})
        return new


class _Names(dict[str, Any]):
    """Globals of a function with a few replaced; all others are looked up in the old function's globals."""

    def __init__(self, old: dict[str, Any]) -> None:
        super().__init__()
        self["__builtins__"] = old.get("__builtins__", __builtins__)
        self._old = old

    def __missing__(self, name: str) -> Any:
        return self._old[name]
