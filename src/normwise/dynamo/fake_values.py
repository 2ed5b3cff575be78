"""Fake tensors that Dynamo computed for the nodes of a graph while tracing."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses import FakeTensor
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols, statically_known_true


def tensor_of(node: object) -> Tensor | None:
    """Return the tensor that a node computes, if its dtype, sizes and memory format are known.

    Dynamo traces plain tensors as FakeTensor. A subclass with its own rules for operators may support only torch's,
    and in a function transform, such as torch.vmap, a tensor has hidden axes: neither is returned.
    """
    value = node.meta.get("example_value") if isinstance(node, fx.Node) else None
    if not isinstance(value, FakeTensor) or value.layout is not torch.strided or free_unbacked_symbols(value):
        return None
    return value


def tensors_of(node: fx.Node) -> Iterator[Tensor]:
    """Yield the tensors that a node computes, or that are in the tuple or list that it computes."""
    value = node.meta.get("example_value")
    for item in value if isinstance(value, (tuple, list)) else (value,):
        if isinstance(item, Tensor):
            yield item


def memory_of(node: fx.Node) -> set[Any]:
    """Return keys of the storages of a node's tensors; views share the storage of their base."""
    return {tensor.untyped_storage()._cdata for tensor in tensors_of(node) if tensor.layout is torch.strided}


def are_same(first: Sequence[Any], second: Sequence[Any]) -> bool:
    """Return whether two sequences of sizes or strides are equal for all values of their symbols."""
    return len(first) == len(second) and all(
        statically_known_true(one == other) for one, other in zip(first, second, strict=True)
    )


def are_alike(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors have the same dtype, device and sizes."""
    return (
        first.dtype is second.dtype and first.device == second.device and are_same(first.shape, second.shape)
    )
