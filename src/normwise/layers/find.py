"""Search for batch normalization in a model: layers of torch, ours, subclasses and frozen ones; calls in a graph."""

from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from normwise.layers.functions import is_batch_norm_call
from normwise.layers.kind import LayerKind, kind_of


@dataclass(frozen=True)
class Found:
    """One occurrence of batch normalization in a model.

    Attributes:
        path: Path of the layer in the model, or name of the node of a call.
        kind: Class of the layer, or name of the called function.
        layer: Layer; None for a call.
        node: Node of the graph that calls a function; None for a layer.
    """

    path: str
    kind: str
    layer: nn.Module | None = None
    node: fx.Node | None = None


def find(model: nn.Module) -> tuple[Found, ...]:
    """Return each layer of the model that is batch normalization, once, and each call of it in the model's graph.

    Only a ``torch.fx.GraphModule``, as from ``torch.fx.symbolic_trace`` and ``torch.export``, has a graph.

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU())
        >>> [found.path for found in normwise.surgery.find(model)]
        ['1']
    """
    layers = [
        Found(path, type(kind.layer).__name__, layer=kind.layer) for path, kind in batch_norms(model).items()
    ]
    graphs = [model.graph] if isinstance(model, fx.GraphModule) else []
    calls = [
        Found(node.name, getattr(node.target, "__name__", str(node.target)), node=node)
        for graph in graphs
        for node in graph.nodes
        if is_batch_norm_call(node)
    ]
    return (*layers, *calls)


def batch_norms(model: nn.Module) -> dict[str, LayerKind]:
    """Return the kind of each BN layer, each once, by path."""
    kinds = {path: kind_of(module) for path, module in model.named_modules()}
    return {path: kind for path, kind in kinds.items() if kind is not None and kind.normalises_batches}


def layers_with_statistics(model: nn.Module) -> dict[str, Any]:
    """Return each BN layer that can learn its statistics (not frozen classes), each once, by path."""
    return {path: kind.layer for path, kind in batch_norms(model).items() if kind.learns_statistics}
