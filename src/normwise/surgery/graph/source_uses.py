"""Uses of submodules in code that torch.fx can't trace, found in its source."""

import ast
import inspect
import types
from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from normwise.surgery.graph.function_source import FunctionTree, functions_named, tree_of

#: Functions that inspect a module and don't run it.
_LOOKING = {"len", "isinstance", "bool", "type", "id", "hasattr", "print", "repr", "str"}
#: Functions over the items of a container.
_OVER_ITEMS = {"reversed", "list", "tuple", "iter", "sorted"}
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, list, tuple, dict)


def uses_of(module: nn.Module) -> list[set[nn.Module]]:
    """Return the sets of modules that a module's own code runs, each as a whole and directly.

    ``self.block(x)`` runs all of ``block`` as one. If code does anything but call it, such as
    ``self.block[0].weight`` or ``helper(self.block)``, each module of ``block`` may be used by itself. Loops over
    containers are understood; code without source may use everything.
    """
    reader = _Reader(module)
    reader.read()
    return [set(unit.modules()) for unit in reader.units] + [{alone} for alone in reader.exposed]


class _Reader:
    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.units: set[nn.Module] = set()
        self.exposed: set[nn.Module] = set()
        self.names: list[str] = ["forward"]
        self.parents: dict[ast.AST, ast.AST] = {}
        self.followed: set[tuple[ast.AST, str, frozenset[nn.Module]]] = set()
        self.trees: dict[types.CodeType | None, FunctionTree | None] = {None: None}
        self.functions: dict[ast.AST, types.FunctionType] = {}
        #: Names of the module itself, in the code of its methods.
        self.own_names: set[tuple[ast.AST, str]] = set()

    def read(self) -> None:
        """Read ``forward`` and all methods that it mentions."""
        # A list that grows while it is read.
        for name in self.names:
            for function in functions_named(self.module, name):
                self._enter(function, 0, [self.module])

    def _enter(self, function: Any, place: int, values: list[Any]) -> None:
        """Follow the uses of a function's argument at ``place``, which is one of ``values``."""
        # Each function is followed once, even if it calls itself.
        code = getattr(function, "__code__", None)
        if code not in self.trees:
            self.trees[code] = tree_of(function)
        tree = self.trees[code]
        if tree is None or place >= len(tree.args.args):
            return self._expose(values)
        if tree not in self.functions:
            self.functions[tree] = function
            for node in ast.walk(tree):
                for child in ast.iter_child_nodes(node):
                    self.parents[child] = node
        name = tree.args.args[place].arg
        if values == [self.module]:
            self.own_names.add((tree, name))
        return self._follow(tree, name, values)

    def _follow(self, tree: ast.AST, name: str, values: list[Any]) -> None:
        """Follow each use of a local name that is bound to one of ``values``."""
        use = (tree, name, frozenset(_modules_in(values)))
        if use in self.followed:
            return
        self.followed.add(use)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load):
                self._use(tree, node, values)

    def _use(self, tree: ast.AST, node: ast.AST, values: list[Any]) -> None:
        """Record the use of an expression whose value is one of ``values``, or a container of them."""
        if not any(_modules_in(values)):
            return
        parent = self.parents.get(node)
        if isinstance(parent, ast.Attribute):
            if parent.attr == "__call__":
                self.units.update(_modules_in(values))
            elif parent.attr in ("parameters", "buffers") and self._is_asked_for_type(parent):
                return
            else:
                self._use(tree, parent, self._attribute(values, parent.attr))
        elif isinstance(parent, ast.Subscript) and parent.value is node:
            items = _items(values)
            self._use(tree, parent, [items] if isinstance(parent.slice, ast.Slice) else items)
        elif isinstance(parent, (ast.For, ast.comprehension)) and parent.iter is node:
            self._bind(tree, _value_target(parent.target, node), _items(values))
        elif isinstance(parent, ast.Assign) and parent.value is node and len(parent.targets) == 1:
            self._bind(tree, parent.targets[0], values)
        elif isinstance(parent, ast.Call):
            self._call(tree, parent, node, values)
        elif isinstance(parent, ast.IfExp) and parent.test is not node:
            self._use(tree, parent, values)
        elif not _only_tests(parent, node):
            self._expose(values)

    def _call(self, tree: ast.AST, call: ast.Call, node: ast.AST, values: list[Any]) -> None:
        if call.func is node:
            if any(isinstance(value, nn.Module) for value in values) or isinstance(node, ast.Subscript):
                self.units.update(_modules_in(values))
            else:
                # A method of a container, such as values().
                self._use(tree, call, values)
            return
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        loop = self.parents.get(call)
        place = call.args.index(node) if isinstance(node, ast.expr) and node in call.args else -1
        starred = any(isinstance(argument, ast.Starred) for argument in call.args)
        function, further = self._function(tree, call.func)
        if name in _LOOKING:
            return
        if name in _OVER_ITEMS:
            self._use(tree, call, values)
        elif name in ("enumerate", "zip") and isinstance(loop, (ast.For, ast.comprehension)):
            place = 1 if name == "enumerate" else place
            targets = loop.target.elts if isinstance(loop.target, ast.Tuple) else []
            if place < len(targets):
                self._bind(tree, targets[place], _items(values))
            else:
                self._expose(values)
        elif function is checkpoint and place == 0:
            self.units.update(_modules_in(values))
        elif function is None or place < 0 or starred or function.__module__.startswith("torch"):
            self._expose(values)
        else:
            self._enter(function, place + further, values)

    def _function(self, tree: ast.AST, called: ast.AST) -> tuple[types.FunctionType | None, int]:
        """Return the Python function that an expression refers to, and the number of its bound arguments."""
        found, further = None, 0
        if isinstance(called, ast.Name):
            function = self.functions[tree]
            if called.id not in function.__code__.co_varnames:
                found = inspect.getclosurevars(function).nonlocals.get(
                    called.id, function.__globals__.get(called.id)
                )
        elif isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            if (tree, called.value.id) in self.own_names:
                found = next(functions_named(self.module, called.attr), None)
                further = int(called.attr not in vars(self.module))
            else:
                owner = self.functions[tree].__globals__.get(called.value.id)
                found = getattr(owner, called.attr, None) if isinstance(owner, types.ModuleType) else None
        return (found if isinstance(found, types.FunctionType) else None), further

    def _bind(self, tree: ast.AST, target: ast.AST, values: list[Any]) -> None:
        if isinstance(target, ast.Name):
            self._follow(tree, target.id, values)
        else:
            self._expose(values)

    def _attribute(self, values: Iterable[Any], name: str) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if isinstance(value, nn.Module):
                found += self._attribute_of(value, name)
            elif isinstance(value, _CONTAINERS) and name in ("values", "items"):
                found.append(_items([value]))
        return found

    def _attribute_of(self, module: nn.Module, name: str) -> list[Any]:
        for held in (module._modules, vars(module)):
            if name in held:
                return [held[name]]
        if name in module._parameters or name in module._buffers:
            self.exposed.add(module)
            return []
        if isinstance(module, _CONTAINERS) and name in ("values", "items", "children", "named_children"):
            return [list(module.children())]
        if module is not self.module:
            # A method of another module may do anything with it; a plain attribute of its class can't.
            if isinstance(inspect.getattr_static(module, name, None), (types.FunctionType, property)):
                self._expose([module])
            return []
        if _is_of_every_module(name):
            if name not in ("training", "train", "eval"):
                self._expose([module])
        elif name not in self.names:
            self.names.append(name)
        return []

    def _is_asked_for_type(self, node: ast.AST) -> bool:
        """Return whether an expression is ``next(module.parameters()).dtype`` or ``.device``."""
        for kind in (ast.Call, ast.Call):
            node = self.parents.get(node, node)
            if not isinstance(node, kind):
                return False
        parent = self.parents.get(node)
        return isinstance(parent, ast.Attribute) and parent.attr in ("dtype", "device")

    def _expose(self, values: Iterable[Any]) -> None:
        for module in _modules_in(values):
            self.exposed.update(module.modules())


def _value_target(target: ast.AST, iterated: ast.AST) -> ast.AST:
    """Return the target of a loop that is bound to the values: the second one for pairs of names and values."""
    is_items = (
        isinstance(iterated, ast.Call)
        and isinstance(iterated.func, ast.Attribute)
        and iterated.func.attr in ("items", "named_children")
        and isinstance(target, ast.Tuple)
        and len(target.elts) == 2
    )
    return target.elts[1] if is_items and isinstance(target, ast.Tuple) else target


def _only_tests(parent: ast.AST | None, node: ast.AST) -> bool:
    """Return whether an expression is ``if module``, ``not module`` or ``module is None``."""
    if isinstance(parent, (ast.If, ast.IfExp, ast.While)):
        return parent.test is node
    if isinstance(parent, ast.Compare):
        return all(isinstance(op, (ast.Is, ast.IsNot)) for op in parent.ops)
    return isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not)


def _is_of_every_module(name: str) -> bool:
    return hasattr(nn.Module, name) and name != "forward"


def _modules_in(values: Iterable[Any]) -> Iterator[nn.Module]:
    for value in values:
        if isinstance(value, nn.Module):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _modules_in(value)
        elif isinstance(value, dict):
            yield from _modules_in(value.values())


def _items(values: Iterable[Any]) -> list[Any]:
    """Return the modules that an index or a loop takes from each value."""
    found: list[Any] = []
    for value in values:
        if isinstance(value, nn.Module):
            found += value.children()
        elif isinstance(value, dict):
            found += value.values()
        elif isinstance(value, (list, tuple)):
            found += value
    return [item for item in found if not isinstance(item, Tensor)]
