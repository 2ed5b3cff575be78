"""Activations and additions after BN layers, computed in one call with them."""

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
from normwise.surgery.core.decision import Decision, LeftError


@dataclass(frozen=True)
class Fused:
    """Operations that are computed together with a BN layer.

    Attributes:
        activation: Name of the activation; None if there is none.
        residual: Whether an addition is among them.
        module: Path of the activation's module, if it is a module.
    """

    activation: str | None = None
    residual: bool = False
    module: str | None = None


@dataclass(frozen=True)
class FusedCall(Decision):
    """Decision on one call of a BN layer.

    Attributes:
        fused: Operations that are computed with the call; None if it stays separate.
    """

    fused: Fused | None = None


def fuse(root: nn.Module, graph: fx.Graph, kinds: Mapping[str, Kind]) -> list[FusedCall]:
    """Fuse each BN layer in ``graph`` with the operations that follow it, if nothing else uses its output.

    Only the graph is changed: the layer and the activation stay the same. The graph is valid only while
    :func:`normwise.nn.fused_call.can_fuse` is true for them.

    Returns:
        The decision on each call of a BN layer, with paths relative to ``root``.
    """
    done: list[FusedCall] = []
    for node in list(graph.nodes):
        if node.op != "call_module":
            continue
        path = str(node.target)
        layer = root.get_submodule(path)
        kind = kind_of(layer)
        if kind is None or not kind.fuses:
            continue
        name = type(layer).__name__
        try:
            _check(node, layer)
            fused = _take_over(root, graph, node, kinds)
            done.append(FusedCall(path, name, True, "", fused))
        except LeftError as left:
            done.append(FusedCall(path, name, False, str(left)))
    return done


def _check(node: fx.Node, layer: nn.Module) -> None:
    if len(node.users) != 1:
        raise LeftError(f"its output feeds {len(node.users)} places")
    if has_hooks(layer):
        raise LeftError("it has hooks, which see its own output")
    if len(node.args) != 1 or node.kwargs or getattr(layer, "activation", None) is not None:
        raise LeftError("it activates, adds or masks on its own")
    if getattr(layer, "inplace", False):
        raise LeftError("it writes into its input (inplace=True)")


def _take_over(root: nn.Module, graph: fx.Graph, node: fx.Node, kinds: Mapping[str, Kind]) -> Fused:
    """Replace a BN layer's node, and the nodes that it takes over, by one node.

    Raises:
        LeftError: there is nothing to take over, or it would not be safe.
    """
    source = node.args[0]
    assert isinstance(source, fx.Node)  # noqa: S101 (a BN layer that was called with a tensor)
    addition = _addition(node, next(iter(node.users)), kinds)
    activation = _activation_after(node if addition is None else addition.node, root)
    chain: list[fx.Node] = []
    if addition is not None:
        chain.append(addition.node)
    if activation is not None:
        chain.append(activation.node)
    if not chain:
        raise LeftError("no activation or addition that it could take over follows")
    # After fusion, input and addend are read at the position of the last node.
    is_overwritten = may_overwrite(root, node, chain[-1], source, set(chain))
    if addition is not None and activation is not None:
        is_overwritten = is_overwritten or may_overwrite(
            root, addition.node, chain[-1], addition.addend, set(chain)
        )
    if is_overwritten:
        raise LeftError("what it reads may be overwritten before the activation")
    fused = Fused(
        None if activation is None else activation.name,
        residual=addition is not None,
        module=None if activation is None else activation.module,
    )
    with graph.inserting_before(chain[-1]):
        layer = graph.get_attr(str(node.target))
        by = None if fused.module is None else graph.get_attr(fused.module)
        how, addend = (None, None) if addition is None else (addition.how, addition.addend)
        call = graph.call_function(call_fused, (layer, source, fused.activation, by, how, addend))
    chain[-1].replace_all_uses_with(call)
    for one in (*reversed(chain), node):
        graph.erase_node(one)
    return fused


@dataclass(frozen=True)
class _Activation:
    """Activation of a value.

    Attributes:
        node: Node that applies the activation.
        name: Name of the activation.
        module: Path of its module; None if it is a function.
    """

    node: fx.Node
    name: str
    module: str | None


def _activation_after(node: fx.Node, root: nn.Module) -> _Activation | None:
    """Return the activation that is the only user of a node's output; None if there is another user."""
    if len(node.users) != 1:
        return None
    user = next(iter(node.users))
    name = activation_of(user, root)
    if name is None:
        return None
    return _Activation(user, name, str(user.target) if user.op == "call_module" else None)


@dataclass(frozen=True)
class _Addition:
    """Addition of a tensor of the same shape and dtype to a value.

    Attributes:
        node: Node that adds.
        how: Kind of addition for :func:`normwise.nn.fused_call.call_fused`: "add", "radd" or "iadd".
        addend: Node of the other tensor.
    """

    node: fx.Node
    how: str
    addend: fx.Node


_ADDITIONS = {operator.add, operator.iadd, torch.add}
_IN_PLACE = {operator.iadd, "add_"}


def _addition(node: fx.Node, user: fx.Node, kinds: Mapping[str, Kind]) -> _Addition | None:
    """Return ``user`` as an addition, if it adds a tensor of the same shape and dtype to ``node``'s output."""
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
        # An in-place addition changes its first operand, which other nodes may still use.
        return _Addition(user, "iadd", other) if first is node else None
    return _Addition(user, "add" if first is node else "radd", other)
