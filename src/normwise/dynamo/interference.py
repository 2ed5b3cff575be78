"""Nodes in between that forbid to move batch normalization to a later position in the graph."""

import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import SymBool, SymFloat, SymInt, Tensor, fx
from torch._ops import OpOverload, OpOverloadPacket

from normwise.dynamo.batch_norm_nodes import BatchNormNode, bound
from normwise.dynamo.fake_values import memory_of, tensors_of

_IN_PLACE = {getattr(operator, name) for name in vars(operator) if name.startswith("__i")} - {
    operator.index,
    operator.inv,
    operator.invert,
}
#: Modules whose functions show by their names what they write into.
_KNOWN_ORIGINS = ("torch", "_operator", "math", "builtins")
_NUMBERS = (bool, int, float, str, torch.Size, torch.dtype, torch.device, SymInt, SymFloat, SymBool)


def may_interfere(norm: BatchNormNode, chain: list[fx.Node], addend: fx.Node | None) -> bool:
    """Return whether batch normalization can't be moved after the nodes up to the last one of ``chain``.

    It can if none of them overwrites its inputs or the addend, none reads or updates its running statistics, and
    none changes a mode of torch, such as autocast or gradients.
    """
    sources = norm.sources if addend is None else [*norm.sources, addend]
    read = {memory for source in sources for memory in memory_of(source)}
    moved = {memory for source in norm.statistics for memory in memory_of(source)}
    node = norm.node
    while node is not chain[-1]:
        if node not in chain:
            if not _only_computes(node) or any(moved & memory_of(source) for source in node.all_input_nodes):
                return True
            for written, is_statistic in written_by(node):
                memory = memory_of(written)
                # Two inputs of the graph may share memory in the next call. Integers never share memory with
                # the tensors here, nor do buffers of layers with anything else.
                if memory & read or not (
                    is_statistic or _is_integral(written) or not _is_given(memory, node)
                ):
                    return True
        node = node.next
    return False


def _is_given(memory: set[Any], node: fx.Node) -> bool:
    """Return whether memory belongs to an input of the graph."""
    inputs = (one for one in node.graph.nodes if one.op in ("placeholder", "get_attr"))
    return any(memory & memory_of(one) for one in inputs)


def _only_computes(node: fx.Node) -> bool:
    """Return whether a node has a tensor value; one that changes a mode has none, or an object."""
    if node.op in ("placeholder", "get_attr"):
        return True
    value = node.meta.get("example_value")
    items = value if isinstance(value, (tuple, list)) else (value,)
    return all(isinstance(item, (Tensor, *_NUMBERS)) for item in items)


def written_by(node: fx.Node) -> Iterator[tuple[fx.Node, bool]]:
    """Yield the nodes whose memory a node may overwrite, and whether they are running statistics that it updates."""
    arguments = bound(node)
    if arguments is not None:
        if arguments["training"] is not False:
            for name in ("running_mean", "running_var"):
                if isinstance(arguments[name], fx.Node):
                    yield arguments[name], True
        return
    name = str(node.target) if node.op == "call_method" else str(getattr(node.target, "__name__", ""))
    origin = str(getattr(node.target, "__module__", ""))
    # F.relu(x, True) as well.
    flagged = node.kwargs.get("inplace") or "out" in node.kwargs or any(value is True for value in node.args)
    if isinstance(node.target, (OpOverload, OpOverloadPacket)):
        writes = _is_mutable(node.target)
    else:
        writes = (
            flagged
            or node.op == "call_module"
            or node.target in _IN_PLACE
            or (name.endswith("_") and not name.endswith("__"))
            or name in ("__setitem__", "setitem")
            or (node.op == "call_function" and not origin.startswith(_KNOWN_ORIGINS))
        )
    if writes:
        for source in node.all_input_nodes:
            yield source, False


def _is_mutable(target: OpOverload | OpOverloadPacket) -> bool:
    """Return whether an operator may write into its arguments."""
    overloads = (
        [target]
        if isinstance(target, OpOverload)
        else [getattr(target, overload) for overload in target.overloads()]
    )
    return any(overload._schema.is_mutable for overload in overloads)


def _is_integral(node: fx.Node) -> bool:
    return all(
        not tensor.dtype.is_floating_point and not tensor.dtype.is_complex for tensor in tensors_of(node)
    )
