"""Flow of values through a model on an example: graphs of its forward passes, and calls of each module."""

import inspect
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from normwise.errors import ModelError
from normwise.layers import kind_of
from normwise.layers.known_classes import public_classes
from normwise.layers.overridden import computes_as
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.statistics.preserve.snapshot import Snapshot
from normwise.surgery.core.decision import LeftError, reason_of
from normwise.surgery.core.example_arguments import Arguments
from normwise.surgery.core.run_example import run_example
from normwise.surgery.graph.source_uses import uses_of


@dataclass(frozen=True)
class Part:
    """A module that torch.fx can trace, with the submodules that it can trace as well.

    Attributes:
        path: Path of the module in the model.
        module: Module in the model.
        graph: Graph of its forward pass; the targets of its modules are relative to ``module``.
        writes: Whether the forward pass sets attributes of its modules, or writes into their tensors or lists.
            Later calls may depend on that, which the graph doesn't show.
    """

    path: str
    module: nn.Module
    graph: fx.Graph
    writes: bool

    def path_of(self, node: fx.Node) -> str:
        """Return the path in the model of the module that ``node`` calls."""
        return f"{self.path}.{node.target}" if self.path else str(node.target)

    def called(self, node: fx.Node) -> nn.Module | None:
        """Return the module that ``node`` calls; None if it calls none."""
        return self.module.get_submodule(str(node.target)) if node.op == "call_module" else None


@dataclass(frozen=True)
class ModelGraph:
    """Flow of values through a model.

    Attributes:
        parts: Traced parts, which are disjoint: no module is called in two of them, unless it is shared.
        opaque: Reason why torch.fx can't trace a module, by path. Its own calls are in no part.
        uses: Sets of modules that untraced code may run, each as a whole; see :func:`uses_of`.
        counts: Number of calls of each module on the example.
        calls: Arguments of the first call of each module.
        whole: Modules that are leaves because of ``is_whole``.
    """

    parts: tuple[Part, ...]
    opaque: Mapping[str, str]
    uses: list[set[nn.Module]]
    counts: Counter[nn.Module]
    calls: Mapping[nn.Module, Arguments]
    whole: Collection[nn.Module] = ()

    def nodes(self) -> Iterator[tuple[Part, fx.Node]]:
        """Yield each node of each part, in the order of execution within a part."""
        for part in self.parts:
            for node in part.graph.nodes:
                yield part, node

    def nodes_of(self) -> dict[nn.Module, list[tuple[Part, fx.Node]]]:
        """Return the nodes that call each module, with their parts."""
        found: dict[nn.Module, list[tuple[Part, fx.Node]]] = {}
        for part, node in self.nodes():
            if (module := part.called(node)) is not None:
                found.setdefault(module, []).append((part, node))
        return found


def model_graph(
    model: nn.Module,
    arguments: Arguments,
    *,
    training: bool = False,
    is_whole: Callable[[nn.Module, Arguments], bool] = lambda module, arguments: False,
) -> ModelGraph:
    """Trace the model's forward pass on an example, in evaluation or in training, and leave the model unchanged.

    Modules of torch, BN layers and ours are leaves. Non-tensor arguments and omitted defaults are traced as
    constants. If the model fails on the example in training, as on a batch of one, the calls of modules in
    evaluation are used.

    Args:
        model: Model to trace.
        arguments: Arguments of the example.
        training: Whether to trace the forward pass in training mode.
        is_whole: Function of a module and the arguments of its first call that returns whether the module is a
            leaf.

    Raises:
        ModelError: the model fails on the example.
    """
    try:
        counts, calls = observe(model, arguments, training=training)
    except ModelError:
        if not training:
            raise
        counts, calls = observe(model, arguments)
    whole = {module for module, arguments in calls.items() if is_whole(module, arguments)}
    follower = _Follower(calls, training, whole)
    with unchanged(model):
        parts = tuple(follower.parts(model, ""))
    uses = [unit for module in follower.untraced for unit in uses_of(module)]
    return ModelGraph(parts, follower.opaque, uses, counts, calls, whole)


def observe(
    model: nn.Module, arguments: Arguments, *, training: bool = False
) -> tuple[Counter[nn.Module], dict[nn.Module, Arguments]]:
    """Return the number of calls of each module on the example, and the arguments of its first call.

    Raises:
        ModelError: the model fails on the example.
    """
    counts: Counter[nn.Module] = Counter()
    calls: dict[nn.Module, Arguments] = {}

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        counts[module] += 1
        calls.setdefault(module, (args, kwargs))

    with unchanged(model), torch.no_grad():
        model.train(training)
        for module in model.modules():
            module.register_forward_pre_hook(note, with_kwargs=True, prepend=True)
        run_example(model, arguments)
    return counts, calls


class _Tracer(fx.Tracer):
    def __init__(self, leaves: set[nn.Module]) -> None:
        super().__init__()
        self.leaves = leaves

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m in self.leaves or is_leaf(m)


def is_leaf(module: nn.Module) -> bool:
    """Return whether a module is a leaf: torch's (except containers), BN of any kind, and ours.

    A subclass of torch's that computes the same is a leaf, too.
    """
    kind = kind_of(module)
    if (kind is not None and kind.normalises_batches) or type(module) in public_classes():
        return True
    base = next(
        kind for kind in type(module).__mro__ if kind.__module__.startswith(("torch.nn.", "torch.ao.nn."))
    )
    return base is not nn.Module and not issubclass(base, nn.Sequential) and computes_as(module, base)


@dataclass
class _Follower:
    calls: Mapping[nn.Module, Arguments]
    training: bool
    whole: set[nn.Module]
    opaque: dict[str, str] = field(default_factory=dict)
    leaves: set[nn.Module] = field(default_factory=set)
    untraced: list[nn.Module] = field(default_factory=list)
    seen: set[nn.Module] = field(default_factory=set)

    def parts(self, module: nn.Module, path: str) -> Iterator[Part]:
        """Yield the largest traceable parts of a module and of its submodules."""
        is_list = type(module) in (nn.ModuleList, nn.ModuleDict)
        is_followed = not (is_leaf(module) or module in self.whole) or not path or is_list
        if module in self.seen or not is_followed:
            return
        self.seen.add(module)
        below = [
            part
            for name, child in module.named_children()
            for part in self.parts(child, f"{path}.{name}" if path else name)
        ]
        if module not in self.calls:
            # Its forward does not run on the example; other code calls its submodules.
            if not is_list and type(module) is not nn.Sequential:
                self.untraced.append(module)
            yield from below
            return
        inside = [name for name in self.opaque if not path or name.startswith(f"{path}.")]
        try:
            graph, writes = self.graph(module)
        except LeftError as left:
            self.opaque[path] = str(left)
            self.leaves.add(module)
            self.untraced.append(module)
            yield from below
            return
        yield Part(path, module, graph, writes)
        # A part within this one is not a separate part, unless it is within an opaque module.
        yield from (p for p in below if any(p.path.startswith(f"{name}.") for name in inside))

    def graph(self, module: nn.Module) -> tuple[fx.Graph, bool]:
        """Return the graph of a module's forward pass, and whether that writes into the module's state.

        Raises:
            LeftError: the forward can't be traced, or not for all calls at once.
        """
        if "forward" in vars(module):
            # torch.fx would trace the class's forward.
            raise LeftError("its forward was replaced on the instance")
        args, kwargs = self.calls[module]
        before, state = Snapshot(module, values=False), _random_state()
        try:
            bound = inspect.signature(module.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            # None, a flag or a number may decide a branch of the forward pass; a tensor must not.
            fixed = {name: value for name, value in bound.arguments.items() if not _has_tensor(value)}
            module.train(self.training)
            begun = Snapshot(module, values=False)
            graph = _Tracer(self.leaves | self.whole).trace(module, concrete_args=fixed or None)
            writes = begun.is_changed()
        except Exception as error:
            raise LeftError(f"its forward can't be traced: {reason_of(error)}") from None
        finally:
            # A forward may set attributes, which the next traced forward would read.
            before.restore()
        if _random_state() != state:
            raise LeftError("its forward draws random numbers, which may decide what it does")
        return graph, writes


def _random_state() -> list[Any]:
    kind, keys, *further = np.random.get_state()  # noqa: NPY002 (the one that models use)
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    states = [state.tolist() for state in (torch.get_rng_state(), *devices)]
    return [states, random.getstate(), kind, np.asarray(keys).tolist(), further]


def _has_tensor(value: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value))
