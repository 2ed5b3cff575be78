"""Guards of a rewritten forward pass: everything that was decided while tracing must still hold."""

import inspect
import types
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from normwise.nn.fused_call import can_fuse
from normwise.surgery.accelerate.constants import is_constant
from normwise.surgery.accelerate.fuse import FusedCall
from normwise.surgery.core.decision import LeftError
from normwise.surgery.core.example_arguments import Arguments

_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, type)
_METHODS = (types.FunctionType, property, classmethod, staticmethod, type)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
#: Entries that every module has in its ``__dict__``.
_OF_ALL = frozenset(vars(nn.Module()))
_MISSING = inspect.Signature.empty


@dataclass
class Conditions:
    """Conditions as Python expressions of ``self``, ``args`` and ``kwargs``, with the objects that they name."""

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
    module: nn.Module, names: Collection[str], arguments: Arguments, fused: Iterable[FusedCall]
) -> Conditions:
    """Return the conditions under which the trace of this call is valid for ``module``.

    Args:
        module: Traced module.
        names: Names of all attributes that its forward pass may read, of itself or of its submodules.
        arguments: Arguments of the traced call.
        fused: Calls of BN layers in the forward pass.

    Raises:
        LeftError: it may read an object that can't be checked for changes, such as a list.
    """
    found = Conditions()
    _of_arguments(found, arguments)
    for container in _containers(module, "self"):
        found.add(*container)
    for call in fused:
        if call.fused is not None:
            activation = "None" if call.fused.module is None else _expression(call.fused.module)
            found.add(f"{{}}({_expression(call.path)}, {activation}, {call.fused.activation!r})", can_fuse)
    for name in sorted(set(names) - _OF_ALL):
        _of_attribute(found, module, name)
    for path, child in module.named_modules():
        if child is not module:
            _of_child(found, path, child, set(names) & set(vars(child)) - _OF_ALL)
    return found


def _of_arguments(found: Conditions, arguments: Arguments) -> None:
    args, kwargs = arguments
    found.add(f"len(args) == {len(args)}")
    found.add(f"kwargs.keys() == {{{', '.join(map(repr, kwargs))}}}" if kwargs else "not kwargs")
    expressions = {f"args[{number}]": value for number, value in enumerate(args)}
    expressions |= {f"kwargs[{name!r}]": value for name, value in kwargs.items()}
    for expression, value in expressions.items():
        if isinstance(value, Tensor):
            found.add(f"type({expression}) in {{}}", (Tensor, nn.Parameter))
        else:
            _equal(found, expression, value)


def _equal(found: Conditions, expression: str, value: Any) -> None:
    if value is None or type(value) is bool:
        found.add(f"{expression} is {value}")
    else:
        found.add(f"type({expression}) is {{}}", type(value))
        found.add(f"{expression} == {{}}", value)


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
            raise LeftError(f"its forward reads {name!r}, a {type(static).__name__}, which may change")
        elif name not in vars(nn.Module):
            # Tracing went through its class's code.
            found.add(f"{name!r} not in self.__dict__")


def _expression(path: str) -> str:
    """Return the expression for a submodule of the called module; None if it is missing."""
    *around, last = path.split(".")
    return "self" + "".join(f"._modules[{part!r}]" for part in around) + f"._modules.get({last!r})"


def _containers(module: nn.Module, expression: str) -> Iterator[tuple[str, Any]]:
    """Yield conditions that containers have the same entries, since the forward pass may iterate over them."""
    if isinstance(module, _CONTAINERS):
        yield f"tuple({expression}._modules) == {{}}", tuple(module._modules)
        for name, child in module._modules.items():
            if child is not None:
                yield from _containers(child, f"{expression}._modules[{name!r}]")


def _plain(found: Conditions, expression: str, value: Any, name: str) -> None:
    if is_constant(value):
        _equal(found, expression, value)
    elif isinstance(value, _FUNCTIONS):
        found.add(f"{expression} is {{}}", value)
    else:
        raise LeftError(f"its forward reads {name!r}, a {type(value).__name__}, which may change")


def _of_child(found: Conditions, path: str, child: nn.Module, names: Collection[str]) -> None:
    for name in sorted(names):
        _plain(found, f"{_expression(path)}.__dict__.get({name!r})", vars(child)[name], f"{path}.{name}")
