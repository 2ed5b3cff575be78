"""Activations and additions behind BN layers, taken over by them."""

import operator
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import fx, nn

from normwise.surgery.activation import activation_of
from normwise.surgery.layer import is_ours


@dataclass(frozen=True)
class Fused:
    """What a layer took over, or why nothing."""

    activation: str | None = None
    residual: bool = False
    reason: str = ""


def fuse(
    root: nn.Module, graph: fx.Graph, shapes: Mapping[str, torch.Size], calls: Mapping[nn.Module, int]
) -> dict[nn.Module, Fused]:
    """Let each BN layer that ``graph`` calls take over what follows it, where nobody else sees it.

    The graph and the layers are changed. ``calls`` says how often each layer is called in all of the model:
    a layer that is called elsewhere, too, would activate there as well.
    """
    targets = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    done: dict[nn.Module, Fused] = {}
    for node in list(graph.nodes):
        if node.op != "call_module" or not is_ours(layer := root.get_submodule(str(node.target))):
            continue
        reason = _obstacle(node, layer, targets, calls)
        done[layer] = Fused(reason=reason) if reason else _take_over(root, graph, node, layer, shapes)
    return done


def _obstacle(node: fx.Node, layer: nn.Module, targets: Counter[str], calls: Mapping[nn.Module, int]) -> str:
    if targets[str(node.target)] != 1 or calls[layer] != 1:
        return "it is called more than once" if calls[layer] else "the example does not reach it"
    if len(node.users) != 1:
        return f"its output feeds {len(node.users)} places"
    if layer._forward_hooks or layer._backward_hooks:
        return "it has hooks, which see its own output"
    if len(node.args) != 1 or node.kwargs or getattr(layer, "activation", None) is not None:
        return "it already has more to do"
    return ""


def _take_over(
    root: nn.Module, graph: fx.Graph, node: fx.Node, layer: nn.Module, shapes: Mapping[str, torch.Size]
) -> Fused:
    last = node
    residual = _added(node, next(iter(node.users)), shapes)
    if residual is not None:
        last = next(iter(node.users))
    activation = None
    if len(last.users) == 1:
        activation = activation_of(user := next(iter(last.users)), root)
        last = user if activation is not None else last
    if last is node:
        return Fused(reason="no activation or addition that it could take over follows")
    with graph.inserting_before(last):
        fused = graph.call_module(str(node.target), node.args)
        if residual is not None:
            fused.kwargs = {"residual": residual}
    last.replace_all_uses_with(fused)
    while last is not node:
        before = next(n for n in last.all_input_nodes if n is node or node in n.all_input_nodes)
        graph.erase_node(last)
        last = before
    graph.erase_node(node)
    layer.__dict__["activation"] = activation
    return Fused(activation, residual is not None)


_ADDITIONS = {operator.add, operator.iadd, torch.add}
_IN_PLACE = {operator.iadd, "add_"}


def _added(node: fx.Node, user: fx.Node, shapes: Mapping[str, torch.Size]) -> fx.Node | None:
    """What ``user`` adds to ``node``'s output, where it is a tensor of the same shape; else None."""
    is_addition = (user.op == "call_function" and user.target in _ADDITIONS) or (
        user.op == "call_method" and user.target in ("add", "add_")
    )
    if not is_addition or len(user.args) != 2 or user.kwargs:
        return None
    first, second = user.args
    other = second if first is node else first
    if not isinstance(other, fx.Node) or other is node or shapes.get(other.name) != shapes.get(node.name):
        return None
    # An addition in place changes its first operand, which others may still see.
    return None if user.target in _IN_PLACE and first is not node else other
