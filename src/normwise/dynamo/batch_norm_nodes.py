"""Nodes of a graph that call torch's functions for batch normalization."""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.nn import functional as F

from normwise.dynamo.fake_values import are_alike, are_same, tensor_of
from normwise.kernels import Call
from normwise.kernels.backend import BACKENDS

#: Signature of ``torch.batch_norm``, which is compiled and has none.
_NAMES = (
    "input",
    "weight",
    "bias",
    "running_mean",
    "running_var",
    "training",
    "momentum",
    "eps",
    "cudnn_enabled",
)
_SIGNATURES = {
    F.batch_norm: inspect.signature(F.batch_norm),
    torch.batch_norm: inspect.Signature(
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in _NAMES]
    ),
}


@dataclass(frozen=True)
class BatchNormNode:
    """One batch normalization in a graph.

    Attributes:
        node: Node of the call.
        x: Node of the input.
        running_mean, running_var, weight, bias: Nodes of these tensors, or None.
        training: Whether batch statistics normalise.
        momentum, eps: Momentum and ε, or the nodes that compute them.
    """

    node: fx.Node
    x: fx.Node
    running_mean: fx.Node | None
    running_var: fx.Node | None
    weight: fx.Node | None
    bias: fx.Node | None
    training: bool
    momentum: float | fx.Node
    eps: float | fx.Node

    @property
    def statistics(self) -> list[fx.Node]:
        """Return the nodes of the running statistics."""
        return [node for node in (self.running_mean, self.running_var) if node is not None]

    @property
    def sources(self) -> list[fx.Node]:
        """Return the nodes of all tensors that are read."""
        return [self.x, *(node for node in (self.weight, self.bias) if node is not None), *self.statistics]

    def covers(self, activation: str | None, residual: fx.Node | None) -> bool:
        """Return whether a compiled backend computes this, with an activation and a residual."""
        tensors = [
            None if node is None else tensor_of(node)
            for node in (self.x, self.running_mean, self.running_var, self.weight, self.bias, residual)
        ]
        x, mean, var, weight, bias, added = tensors
        if x is None:
            return False
        # A backend that supports training also supports evaluation; only the former is checked.
        call = Call(x, mean, var, weight, bias, training=True, activation=activation, residual=added)
        return any(backend.covers_types(call) for backend in BACKENDS)


def bound(node: fx.Node) -> dict[str, Any] | None:
    """Return the arguments of a node that normalises a batch, by name; None for any other node."""
    signature = _SIGNATURES.get(node.target) if node.op == "call_function" else None
    if signature is None:
        return None
    arguments = signature.bind(*node.args, **node.kwargs)
    arguments.apply_defaults()
    return arguments.arguments


def batch_norm_of(node: fx.Node) -> BatchNormNode | None:
    """Return the batch normalization that a node is, if a compiled backend can compute it alone; else None."""
    arguments = bound(node)
    if arguments is None:
        return None
    x, y = tensor_of(arguments["input"]), tensor_of(node)
    mean, var, weight, bias = vectors = [
        arguments[name] for name in ("running_mean", "running_var", "weight", "bias")
    ]
    training, momentum, eps = arguments["training"], arguments["momentum"], arguments["eps"]
    if (
        x is None
        or y is None
        # Under autocast, or with parameters of another dtype, the output may have another dtype, too.
        or not are_alike(x, y)
        or not are_same(x.stride(), y.stride())
        or any(vector is not None and tensor_of(vector) is None for vector in vectors)
        or type(training) is not bool
        or not isinstance(momentum, (int, float, fx.Node))
        or not (isinstance(eps, fx.Node) or eps > 0)
        or any(size == 0 for size in x.shape if isinstance(size, int))
        or not (x.is_contiguous() or _has_channels_last(x))
    ):
        return None
    found = BatchNormNode(node, arguments["input"], mean, var, weight, bias, training, momentum, eps)
    return found if found.covers(None, None) else None


def _has_channels_last(x: torch.Tensor) -> bool:
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return x.dim() in formats and x.is_contiguous(memory_format=formats[x.dim()])
