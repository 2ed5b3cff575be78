"""Classes of modules with a rewritten forward pass: the graph if its conditions hold, else the old forward."""

import functools
import operator
import re
import textwrap
import types
from dataclasses import dataclass
from importlib import import_module
from typing import Any, SupportsIndex, cast

from torch import fx, nn

from normwise.nn.mixins.change_class import change_class
from normwise.surgery.accelerate.guards import Conditions
from normwise.surgery.core.decision import LeftError

#: An object, with its name in the source.
Reference = tuple[str, Any]


@dataclass(frozen=True)
class _Importable:
    """Reference by name to a Python module, which can't be pickled."""

    name: str

    def __call__(self) -> types.ModuleType:
        return import_module(self.name)


class Rewritten(nn.Module):
    """Base of the classes that :func:`rewrite` makes, which can't be imported.

    Instances are copied and pickled by the parts that the class was made of, so an unpickled one is accelerated,
    too.
    """

    #: Old class, source of the forward pass, and the objects that it names.
    _made_of: tuple[type[nn.Module], str, tuple[Reference, ...]]

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        reduced = super().__reduce_ex__(max(2, operator.index(protocol)))
        if isinstance(reduced, str) or reduced[1][:1] != (type(self),):
            # The old class has its own way, which makes instances of the old class.
            return cast("tuple[Any, ...]", reduced)
        return _new, (*self._made_of, reduced[1][1:]), *reduced[2:]


def rewrite(module: nn.Module, graph: fx.Graph, conditions: Conditions, inputs: list[str]) -> None:
    """Make the graph the module's forward pass if the conditions hold; everything else of its class stays.

    Args:
        module: Module whose class is changed.
        graph: Graph of its forward pass.
        conditions: Conditions under which the graph is equivalent to the class's forward.
        inputs: Expressions of ``args`` and ``kwargs`` that give the graph's inputs.

    Raises:
        LeftError: making a subclass of the module's class has side effects.
    """
    kind = type(module)
    if type(kind) is not type or _registers(kind):
        raise LeftError("its class takes note of classes that are made from it")
    graph.lint()
    code = graph.python_code("self")
    test = " and ".join(f"({text})" for text in conditions.texts)
    body = (
        code.src.replace("def forward(", "def graph(", 1) + "\n"
        "def forward(self, *args, **kwargs):\n"
        f"    if {test}:\n"
        f"        return graph(self, {', '.join(inputs)})\n"
        "    return _kind.forward(self, *args, **kwargs)\n"
        "return forward\n"
    )
    names = {
        name: _Importable(value.__name__) if isinstance(value, types.ModuleType) else value
        for name, value in {**code.globals, **conditions.names}.items()
        if re.search(rf"\b{name}\b", body)
    }
    # All names are in a closure: torch.compile looks up globals in the function's ``__module__``.
    source = f"def _make(_kind, {', '.join(sorted(names))}):\n{textwrap.indent(body, '    ')}"
    change_class(module, _class(kind, source, tuple(sorted(names.items(), key=operator.itemgetter(0)))))


def take_back(module: nn.Module) -> None:
    """Undo :func:`rewrite`."""
    if isinstance(module, Rewritten):
        change_class(module, module._made_of[0])


@functools.cache
def _class(kind: type[nn.Module], source: str, references: tuple[Reference, ...]) -> type[nn.Module]:
    old = kind.forward
    # With the globals of the old forward pass, which torch.jit.script compiles, since it follows __wrapped__.
    names: dict[str, Any] = dict(getattr(old, "__globals__", {}))
    exec(compile(source, f"<{kind.__name__} accelerated>", "exec"), names)
    values = {name: value() if isinstance(value, _Importable) else value for name, value in references}
    forward = functools.wraps(old)(names["_make"](kind, **values))
    attributes = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        "forward": forward,
        "_made_of": (kind, source, references),
    }
    return type(kind.__name__, (Rewritten, kind), attributes)


def _registers(kind: type) -> bool:
    return any("__init_subclass__" in vars(above) for above in kind.__mro__ if above is not object)


def _new(kind: type[nn.Module], source: str, references: tuple[Reference, ...], arguments: Any) -> nn.Module:
    made = _class(kind, source, references)
    return made.__new__(made, *arguments)
