"""How values flow through a model on an example: graphs of its forward passes, and how often each module is called."""

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from normwise.errors import ModelError
from normwise.find import is_batch_norm
from normwise.surgery.example import Call, copied
from normwise.surgery.snapshot import Snapshot
from normwise.surgery.unchanged import unchanged


@dataclass(frozen=True)
class Part:
    """A module that torch.fx can follow, with all in it that it can follow as well.

    Attributes:
        path: Of the module in the model.
        module: The model's own.
        graph: Of its forward pass in evaluation; the targets of its modules are relative to ``module``.
    """

    path: str
    module: nn.Module
    graph: fx.Graph

    def path_of(self, node: fx.Node) -> str:
        """Where in the model the module is that ``node`` calls."""
        return f"{self.path}.{node.target}" if self.path else str(node.target)

    def called(self, node: fx.Node) -> nn.Module | None:
        """The module that ``node`` calls; None where it calls none."""
        return self.module.get_submodule(str(node.target)) if node.op == "call_module" else None


@dataclass(frozen=True)
class Flow:
    """What can be known of how values flow through a model.

    Attributes:
        parts: Disjoint: no module is called in two of them, unless it is shared.
        opaque: Why each module that torch.fx can't follow is not followed, by path. What such a module calls by
            itself is in no part.
        counts: How often the example calls each module.
        calls: With what it calls each the first time.
    """

    parts: tuple[Part, ...]
    opaque: Mapping[str, str]
    counts: Counter[nn.Module]
    calls: Mapping[nn.Module, Call]

    def nodes(self) -> Iterator[tuple[Part, fx.Node]]:
        """Each node of each part, in the order of execution within a part."""
        for part in self.parts:
            for node in part.graph.nodes:
                yield part, node

    def nodes_of(self) -> dict[nn.Module, list[tuple[Part, fx.Node]]]:
        """Where each module is called."""
        found: dict[nn.Module, list[tuple[Part, fx.Node]]] = {}
        for part, node in self.nodes():
            if (module := part.called(node)) is not None:
                found.setdefault(module, []).append((part, node))
        return found


def flow(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Flow:
    """Follow the model's forward pass in evaluation on an example; the model is left as it is.

    Modules of torch, BN layers and ours are followed no further. Arguments that are no tensors, and those that the
    example leaves out, count as what they are.

    Raises:
        ModelError: the model fails on the example.
    """
    counts, calls = observe(model, args, kwargs)
    follower = _Follower(calls)
    with unchanged(model):
        parts = tuple(follower.parts(model, ""))
    return Flow(parts, follower.opaque, counts, calls)


def observe(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Counter[nn.Module], dict[nn.Module, Call]]:
    """How often the example calls each module in evaluation, and with what it calls it first.

    Raises:
        ModelError: the model fails on the example.
    """
    counts: Counter[nn.Module] = Counter()
    calls: dict[nn.Module, Call] = {}

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        counts[module] += 1
        calls.setdefault(module, (args, kwargs))

    with unchanged(model), torch.no_grad():
        model.eval()
        for module in model.modules():
            module.register_forward_pre_hook(note, with_kwargs=True, prepend=True)
        args, kwargs = copied(args, kwargs)
        try:
            model(*args, **kwargs)
        except Exception as error:
            raise ModelError(f"the model fails on the example: {error}") from error
    return counts, calls


class _Tracer(fx.Tracer):
    def __init__(self, leaves: set[nn.Module]) -> None:
        super().__init__()
        self.leaves = leaves

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m in self.leaves or is_leaf(m)


def is_leaf(module: nn.Module) -> bool:
    """Whether a module is followed no further: torch's, but for containers, BN of any kind, and ours."""
    origin = type(module).__module__
    return (
        (origin.startswith(("torch.nn.", "torch.ao.nn.")) and not isinstance(module, nn.Sequential))
        or origin.startswith("normwise.nn.")
        or is_batch_norm(module)
    )


@dataclass
class _Follower:
    calls: Mapping[nn.Module, Call]
    opaque: dict[str, str] = field(default_factory=dict)
    leaves: set[nn.Module] = field(default_factory=set)
    seen: set[nn.Module] = field(default_factory=set)

    def parts(self, module: nn.Module, path: str) -> Iterator[Part]:
        """The largest parts that can be followed of a module and of what is in it."""
        is_list = type(module) in (nn.ModuleList, nn.ModuleDict)
        if module in self.seen or (is_leaf(module) and path and not is_list):
            return
        self.seen.add(module)
        below = [
            part
            for name, child in module.named_children()
            for part in self.parts(child, f"{path}.{name}" if path else name)
        ]
        if is_list:
            # It has no forward to follow; whoever reads it calls what is in it.
            yield from below
            return
        inside = [name for name in self.opaque if not path or name.startswith(f"{path}.")]
        try:
            graph = self.graph(module)
        except ModelError as error:
            self.opaque[path] = str(error)
            self.leaves.add(module)
            yield from below
            return
        yield Part(path, module, graph)
        # What is in this part now is no part of its own; what an opaque module in it has still is.
        yield from (p for p in below if any(p.path.startswith(f"{name}.") for name in inside))

    def graph(self, module: nn.Module) -> fx.Graph:
        if module not in self.calls:
            raise ModelError("the example does not reach it")
        if "forward" in vars(module):
            # torch.fx would follow that of the class.
            raise ModelError("its forward was replaced on the instance")
        args, kwargs = self.calls[module]
        before = Snapshot(module, values=False)
        try:
            bound = inspect.signature(module.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            # None, a flag or a number decides which way the forward pass goes; a tensor must not.
            fixed = {name: value for name, value in bound.arguments.items() if not _has_tensor(value)}
            module.eval()
            return _Tracer(self.leaves).trace(module, concrete_args=fixed or None)
        except Exception as error:
            raise ModelError(f"its forward can't be traced: {_first_line(error)}") from None
        finally:
            # A forward may set attributes, which the next one that is traced would read.
            before.restore()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _has_tensor(value: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value))
