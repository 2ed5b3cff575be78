"""Source of the functions in a module's forward pass, as syntax trees."""

import ast
import inspect
import textwrap
import types
from collections.abc import Iterator
from typing import Any

from torch import nn

FunctionTree = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def tree_of(function: Any) -> FunctionTree | None:
    """Return the syntax tree of a function; None if its source is missing or ambiguous."""
    if not isinstance(function, types.FunctionType):
        return None
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    code = function.__code__
    arguments = code.co_varnames[: code.co_argcount]
    kinds = (ast.Lambda,) if function.__name__ == "<lambda>" else (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, kinds)
        and tuple(a.arg for a in (*node.args.posonlyargs, *node.args.args)) == arguments
        and getattr(node, "name", "<lambda>") == function.__name__
    ]
    return found[0] if len(found) == 1 and not found[0].args.posonlyargs else None


def functions_named(module: nn.Module, name: str) -> Iterator[Any]:
    """Yield the functions of a name on the instance and on its classes, without torch's."""
    if name in vars(module):
        yield vars(module)[name]
    for kind in type(module).__mro__:
        if kind.__module__.startswith("torch.nn.") or name not in vars(kind):
            continue
        value = vars(kind)[name]
        if isinstance(value, property):
            yield from (f for f in (value.fget, value.fset) if f is not None)
        elif isinstance(value, (classmethod, staticmethod)):
            continue
        elif callable(value) and not isinstance(value, type):
            yield inspect.unwrap(value)
