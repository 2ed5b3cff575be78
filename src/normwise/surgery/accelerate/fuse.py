"""Activations and additions behind BN layers, computed in one call with them."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import fx, nn

from normwise.layers import kind_of
from normwise.nn.fused_call import call_fused
from normwise.nn.tools.hooks import has_hooks
from normwise.surgery.accelerate.activation_nodes import activation_of
from normwise.surgery.accelerate.module_graph import Kind
from normwise.surgery.accelerate.overwriting import may_overwrite


@dataclass(frozen=True)
class Fused:
    """The operations that are computed with a layer, or the reason why none is.

    Attributes:
        activation: The name of the activation; None for none.
        residual: Whether an addition is.
        reason: Why nothing is; empty where something is.
        module: The path of the activation's module, where it is one.
    """

    activation: str | None = None
    residual: bool = False
    reason: str = ""
    module: str | None = None


def fuse(root: nn.Module, graph: fx.Graph, kinds: Mapping[str, Kind]) -> list[tuple[str, Fused]]:
    """Compute what follows each BN layer that ``graph`` calls with it, where nothing else sees the layer's output.

    The graph is changed, and nothing else: the layer and the activation stay what they are. The graph holds only while
    :func:`normwise.nn.fused_call.can_fuse` is true of them.

    Returns:
        The path of each BN layer that the graph calls, once for each call, and what became of it.
    """
    done: list[tuple[str, Fused]] = []
    for node in list(graph.nodes):
        if node.op != "call_module":
            continue
        layer = root.get_submodule(str(node.target))
        if (kind := kind_of(layer)) is None or not kind.fuses:
            continue
        reason = _obstacle(node, layer)
        fused = Fused(reason=reason) if reason else _take_over(root, graph, node, kinds)
        done.append((str(node.target), fused))
    return done


def _obstacle(node: fx.Node, layer: nn.Module) -> str:
    if len(node.users) != 1:
        return f"its output feeds {len(node.users)} places"
    if has_hooks(layer):
        return "it has hooks, which see its own output"
    if len(node.args) != 1 or node.kwargs or getattr(layer, "activation", None) is not None:
        return "it activates, adds or masks on its own"
    return "it writes into its input (inplace=True)" if getattr(layer, "inplace", False) else ""


def _take_over(root: nn.Module, graph: fx.Graph, node: fx.Node, kinds: Mapping[str, Kind]) -> Fused:
    source = node.args[0]
    assert isinstance(source, fx.Node)  # noqa: S101 (a BN layer that was called with a tensor)
    added, addition, addend = None, None, None
    if (found := _addition(node, next(iter(node.users)), kinds)) is not None:
        added, addition, addend = found
    last = node if added is None else added
    activation: fx.Node | None = None
    name = None
    if len(last.users) == 1:
        user = next(iter(last.users))
        name = activation_of(user, root)
        activation = user if name is not None else None
    chain = {one for one in (added, activation) if one is not None}
    if not chain:
        return Fused(reason="no activation or addition that it could take over follows")
    end = activation or added
    assert end is not None  # noqa: S101 (the chain has one of them)
    # Fused, input and addend are read where the last of them was computed.
    if may_overwrite(root, node, end, source, chain) or (
        added is not None
        and addend is not None
        and added is not end
        and may_overwrite(root, added, end, addend, chain)
    ):
        return Fused(reason="what it reads may be overwritten before the activation")
    module = str(activation.target) if activation is not None and activation.op == "call_module" else None
    with graph.inserting_before(end):
        layer = graph.get_attr(str(node.target))
        by = None if module is None else graph.get_attr(module)
        fused = graph.call_function(call_fused, (layer, source, name, by, addition, addend))
    end.replace_all_uses_with(fused)
    for one in (activation, added, node):
        if one is not None:
            graph.erase_node(one)
    return Fused(name, added is not None, module=module)


_ADDITIONS = {operator.add, operator.iadd, torch.add}
_IN_PLACE = {operator.iadd, "add_"}


def _addition(node: fx.Node, user: fx.Node, kinds: Mapping[str, Kind]) -> tuple[fx.Node, str, fx.Node] | None:
    """Return ``user``, how it adds, and what, if it adds a tensor of the same shape and type to ``node``'s output."""
    is_addition = (user.op == "call_function" and user.target in _ADDITIONS) or (
        user.op == "call_method" and user.target in ("add", "add_")
    )
    if not is_addition or len(user.args) != 2 or user.kwargs:
        return None
    first, second = user.args
    other = second if first is node else first
    if not isinstance(other, fx.Node) or other is node or kinds.get(other.name) != kinds.get(node.name):
        return None
    if user.target in _IN_PLACE:
        # An addition in place changes its first operand, which others may still see.
        return None if first is not node else (user, "iadd", other)
    return user, "add" if first is node else "radd", other
