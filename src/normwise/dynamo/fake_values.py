"""Values that Dynamo computed for the nodes of a graph while it traced: tensors without memory."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses import FakeTensor
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols, statically_known_true


def tensor_of(node: object) -> Tensor | None:
    """Return the tensor that a node computes, if it is one whose type, sizes and order in memory are known.

    Dynamo follows plain tensors as FakeTensor. A subclass that has rules of its own for operators may know torch's and
    no others, and in a function transform, such as torch.vmap, a tensor has axes that it does not show: neither is one.
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
    """Return keys of the storages in which a node's tensors lie: views have the storage of their base."""
    return {tensor.untyped_storage()._cdata for tensor in tensors_of(node) if tensor.layout is torch.strided}


def are_same(first: Sequence[Any], second: Sequence[Any]) -> bool:
    """Return whether two sequences of sizes or strides are equal, whatever symbols in them stand for."""
    return len(first) == len(second) and all(
        statically_known_true(one == other) for one, other in zip(first, second, strict=True)
    )


def are_alike(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors have the same type, device and sizes."""
    return (
        first.dtype is second.dtype and first.device == second.device and are_same(first.shape, second.shape)
    )
