"""Conditions of a rewritten forward pass: all that was decided while tracing must still be so."""

import inspect
import types
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from normwise.errors import ModelError
from normwise.nn.fused_call import can_fuse
from normwise.surgery.accelerate.constants import is_constant
from normwise.surgery.accelerate.fuse import Fused
from normwise.surgery.core.example_arguments import Arguments

_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, type)
_METHODS = (types.FunctionType, property, classmethod, staticmethod, type)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
#: What every module has in its ``__dict__``.
_OF_ALL = frozenset(vars(nn.Module()))
_MISSING = inspect.Signature.empty


@dataclass
class Conditions:
    """Conditions as Python expressions of ``self``, ``args`` and ``kwargs``, and the objects that they name."""

    texts: list[str] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=dict)

    def add(self, text: str, value: Any = _MISSING) -> None:
        """Add a condition; ``{}`` in it stands for the value."""
        if value is not _MISSING:
            text = text.format(self._named(value))
        if text not in self.texts:
            self.texts.append(text)

    def _named(self, value: Any) -> str:
        if is_constant(value):
            return repr(value)
        name = next(
            (name for name, other in self.names.items() if other is value), f"_value_{len(self.names)}"
        )
        self.names[name] = value
        return name


def conditions(
    module: nn.Module, names: Collection[str], call: Arguments, fused: Iterable[tuple[str, Fused]]
) -> Conditions:
    """Return the conditions under which ``module`` may do what was traced for this call.

    Args:
        module: The module.
        names: All attributes that its forward pass may read, of itself or of modules in it.
        call: The arguments that it was traced with.
        fused: What is computed in one call, by the path of the BN layer.

    Raises:
        ModelError: it may read something of which nothing tells whether it is still the same, such as a list.
    """
    found = Conditions()
    _of_call(found, call)
    for container in _containers(module, "self"):
        found.add(*container)
    for path, one in fused:
        if not one.reason:
            activation = "None" if one.module is None else _place(one.module)
            found.add(f"{{}}({_place(path)}, {activation}, {one.activation!r})", can_fuse)
    for name in sorted(set(names) - _OF_ALL):
        _of_attribute(found, module, name)
    for path, child in module.named_modules():
        if child is not module:
            _of_child(found, path, child, set(names) & set(vars(child)) - _OF_ALL)
    return found


def _of_call(found: Conditions, call: Arguments) -> None:
    args, kwargs = call
    found.add(f"len(args) == {len(args)}")
    found.add(f"kwargs.keys() == {{{', '.join(map(repr, kwargs))}}}" if kwargs else "not kwargs")
    places = {f"args[{number}]": value for number, value in enumerate(args)}
    places |= {f"kwargs[{name!r}]": value for name, value in kwargs.items()}
    for place, value in places.items():
        if isinstance(value, Tensor):
            found.add(f"type({place}) in {{}}", (Tensor, nn.Parameter))
        else:
            _equal(found, place, value)


def _equal(found: Conditions, place: str, value: Any) -> None:
    if value is None or type(value) is bool:
        found.add(f"{place} is {value}")
    else:
        found.add(f"type({place}) is {{}}", type(value))
        found.add(f"{place} == {{}}", value)


def _of_attribute(found: Conditions, module: nn.Module, name: str) -> None:
    if name in module._modules:
        child = module._modules[name]
        found.add(f"self._modules.get({name!r}) is {'' if child is None else 'not '}None")
        if child is not None:
            for container in _containers(child, f"self._modules[{name!r}]"):
                found.add(*container)
    elif name in module._parameters or name in module._buffers:
        kind = "_parameters" if name in module._parameters else "_buffers"
        present = getattr(module, kind)[name] is not None
        found.add(f"self.{kind}.get({name!r}) is {'not ' if present else ''}None")
    elif name in vars(module):
        _plain(found, f"self.__dict__.get({name!r})", vars(module)[name], name)
    elif (static := inspect.getattr_static(type(module), name, _MISSING)) is not _MISSING:
        if is_constant(static):
            _equal(found, f"self.{name}", static)
        elif not isinstance(static, _METHODS):
            raise ModelError(f"its forward reads {name!r}, a {type(static).__name__}, which may change")
        elif name not in vars(nn.Module):
            # Tracing went through its code.
            found.add(f"{name!r} not in self.__dict__")


def _place(path: str) -> str:
    """Return the expression for a module in the one that is called; None where it is missing."""
    *around, last = path.split(".")
    return "self" + "".join(f"._modules[{part!r}]" for part in around) + f"._modules.get({last!r})"


def _containers(module: nn.Module, place: str) -> Iterator[tuple[str, Any]]:
    """Yield what asks whether containers have the entries that they had; the forward pass may go through them."""
    if isinstance(module, _CONTAINERS):
        yield f"tuple({place}._modules) == {{}}", tuple(module._modules)
        for name, child in module._modules.items():
            if child is not None:
                yield from _containers(child, f"{place}._modules[{name!r}]")


def _plain(found: Conditions, place: str, value: Any, name: str) -> None:
    if is_constant(value):
        _equal(found, place, value)
    elif isinstance(value, _FUNCTIONS):
        found.add(f"{place} is {{}}", value)
    else:
        raise ModelError(f"its forward reads {name!r}, a {type(value).__name__}, which may change")


def _of_child(found: Conditions, path: str, child: nn.Module, names: Collection[str]) -> None:
    for name in sorted(names):
        _plain(found, f"{_place(path)}.__dict__.get({name!r})", vars(child)[name], f"{path}.{name}")
