"""Calls of batch normalization in the graphs of TorchScript, torch.fx and torch.export."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from normwise.layers import is_batch_norm_call
from normwise.layers.functions import ARGUMENTS, BY_BATCH

#: Positions of the running mean and of the mode among the arguments of TorchScript's operation.
_MEAN, _TRAINING = 3, 5
_OF_SCRIPT = "aten::batch_norm"


@dataclass(frozen=True)
class GraphCall:
    """Call of batch normalization in a graph.

    Attributes:
        path: Path of the module with the graph, or with the part of it.
        kind: Class of the original module, before it became a graph.
        name: Name of the operation, or of its node in the graph.
        by_batch: Whether the call normalises by the batch in the module's current mode.
        fixed: Whether the mode is part of the graph, so that neither ``eval()`` nor ``train()`` changes it.
        has_statistics: Whether the call has running statistics.
    """

    path: str
    kind: str
    name: str
    by_batch: bool
    fixed: bool
    has_statistics: bool


def graph_calls(model: nn.Module) -> tuple[GraphCall, ...]:
    """Return each call of batch normalization in the graphs of a model and of its modules."""
    found: list[GraphCall] = []
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            found += _of_script(path, module)
        elif isinstance(module, fx.GraphModule):
            found += _of_fx(path, module)
    return tuple(found)


def _of_fx(path: str, module: fx.GraphModule) -> Iterator[GraphCall]:
    for node in module.graph.nodes:
        if not is_batch_norm_call(node) or "running_mean" not in ARGUMENTS[node.target]:
            continue
        given = dict(zip(ARGUMENTS[node.target], node.args, strict=False)) | node.kwargs
        has_statistics = given.get("running_mean") is not None
        by_batch = bool(given.get("training", node.target in BY_BATCH)) or not has_statistics
        kind = type(module).__name__.removesuffix("Impl")
        yield GraphCall(path, kind, node.name, by_batch, True, has_statistics)


def _of_script(path: str, module: Any) -> Iterator[GraphCall]:
    """Yield the calls of a module, without those of its submodules."""
    try:
        graph = module.inlined_graph
        nodes = list(graph.findAllNodes(_OF_SCRIPT))
    except (AttributeError, RuntimeError):  # it has no forward
        return
    within = sum(_count(child) for child in module.children())
    for node in nodes[: max(len(nodes) - within, 0)]:
        inputs = list(node.inputs())
        mode = inputs[_TRAINING].toIValue()
        fixed = isinstance(mode, bool)
        # The constant None; a computed value is not a constant, and has no value here.
        has_statistics = inputs[_MEAN].type().kind() != "NoneType"
        by_batch = mode if isinstance(mode, bool) else bool(getattr(module, "training", False))
        kind = str(getattr(module, "original_name", type(module).__name__))
        yield GraphCall(path, kind, "batch_norm", by_batch, fixed, has_statistics)


def _count(module: Any) -> int:
    try:
        graph = module.inlined_graph
        return len(list(graph.findAllNodes(_OF_SCRIPT)))
    except (AttributeError, RuntimeError):
        return 0
