"""What counts as batch normalization: torch's layers, ours, subclasses, frozen ones of others, calls in a graph."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import fx, nn
from torch.nn import functional as F

from normwise import functional
from normwise.nn.recurrent import StepBatchNorm

#: What all of torch's BN layers are, lazy and synchronised ones and ours too; subclasses of theirs as well.
BatchNorm = nn.modules.batchnorm._BatchNorm

#: Why a layer with statistics for each time step can't be folded or exchanged.
WITHIN_RECURRENCE = "it stands within a recurrent layer, which gives it a time step"

_CALLS = {
    F.batch_norm,
    torch.batch_norm,
    torch.native_batch_norm,
    functional.batch_norm,
    torch.ops.aten.batch_norm.default,
    torch.ops.aten.native_batch_norm.default,
    torch.ops.aten._native_batch_norm_legit.default,
    torch.ops.aten._native_batch_norm_legit_no_training.default,
    torch.ops.aten.cudnn_batch_norm.default,
}
_FROZEN_BUFFERS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Found:
    """One place where a model normalises by batch.

    Attributes:
        path: The layer's path in the model; the node's name for a call.
        kind: The class of the layer, or what is called.
        layer: The layer; None for a call.
        node: The node of the graph that calls a function; None for a layer.
    """

    path: str
    kind: str
    layer: nn.Module | None = None
    node: fx.Node | None = None


def find(model: nn.Module) -> tuple[Found, ...]:
    """Each layer of the model that is batch normalization, once, and each call of it in the model's graph.

    Only a ``torch.fx.GraphModule``, such as ``torch.fx.symbolic_trace`` and ``torch.export`` give, has a graph.

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU())
        >>> [found.path for found in normwise.surgery.find(model)]
        ['1']
    """
    layers = [
        Found(path, type(module).__name__, layer=module)
        for path, module in model.named_modules()
        if is_batch_norm(module) or isinstance(module, StepBatchNorm)
    ]
    graphs = [model.graph] if isinstance(model, fx.GraphModule) else []
    calls = [
        Found(node.name, getattr(node.target, "__name__", str(node.target)), node=node)
        for graph in graphs
        for node in graph.nodes
        if is_batch_norm_call(node)
    ]
    return (*layers, *calls)


def batch_norm_layers(model: nn.Module) -> dict[str, BatchNorm]:
    """Path and layer of each BN that can learn its statistics, each once: torch's, ours, and subclasses of theirs."""
    return {path: module for path, module in model.named_modules() if isinstance(module, BatchNorm)}


def layers_with_statistics(model: nn.Module) -> dict[str, BatchNorm | StepBatchNorm]:
    """As :func:`batch_norm_layers`, with those within a recurrence, which have statistics for each time step."""
    return {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, (BatchNorm, StepBatchNorm))
    }


def is_batch_norm(module: nn.Module) -> bool:
    """Whether the module is a BN layer that may stand anywhere, of which statistics may be fixed for good."""
    return isinstance(module, BatchNorm) or is_foreign_frozen(module)


def is_foreign_frozen(module: nn.Module) -> bool:
    """Whether it is a BN of constants, such as torchvision's and detectron2's ``FrozenBatchNorm2d``."""
    return (
        not isinstance(module, BatchNorm)
        and "BatchNorm" in type(module).__name__
        and all(isinstance(module._buffers.get(name), torch.Tensor) for name in _FROZEN_BUFFERS)
    )


def is_batch_norm_call(node: fx.Node) -> bool:
    """Whether a node of a traced graph calls batch normalization as a function."""
    return node.op == "call_function" and cast("Callable[..., Any]", node.target) in _CALLS
