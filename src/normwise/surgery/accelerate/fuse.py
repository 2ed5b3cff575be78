"""Activations and additions behind BN layers, computed in one call with them."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import fx, nn

from normwise.nn.fused_call import call_fused
from normwise.nn.tools.hooks import has_hooks
from normwise.surgery.accelerate.activation_nodes import activation_of
from normwise.surgery.accelerate.module_graph import Kind
from normwise.surgery.accelerate.overwriting import may_overwrite
from normwise.surgery.accelerate.replace_torch_layer import is_ours
from normwise.surgery.core.decision import Decision, LeftError


@dataclass(frozen=True)
class Fused:
    """The operations that are computed with a BN layer.

    Attributes:
        activation: Name of the activation; None for none.
        residual: Whether an addition is one of them.
        module: Path of the activation's module, where it is one.
    """

    activation: str | None = None
    residual: bool = False
    module: str | None = None


@dataclass(frozen=True)
class FusedCall(Decision):
    """The decision on one call of a BN layer.

    Attributes:
        fused: The operations that are computed with it; None where it is left by itself.
    """

    fused: Fused | None = None


def fuse(root: nn.Module, graph: fx.Graph, kinds: Mapping[str, Kind]) -> list[FusedCall]:
    """Compute what follows each BN layer that ``graph`` calls with it, where nothing else sees the layer's output.

    The graph is changed, and nothing else: the layer and the activation stay what they are. The graph holds only while
    :func:`normwise.nn.fused_call.can_fuse` is true of them.

    Returns:
        The decision on each call of a BN layer; paths are those in ``root``.
    """
    done: list[FusedCall] = []
    for node in list(graph.nodes):
        if node.op != "call_module" or not is_ours(layer := root.get_submodule(str(node.target))):
            continue
        path, kind = str(node.target), type(layer).__name__
        try:
            _check(node, layer)
            fused = _take_over(root, graph, node, kinds)
            done.append(FusedCall(path, kind, True, "", fused))
        except LeftError as left:
            done.append(FusedCall(path, kind, False, str(left)))
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
        raise LeftError("no activation or addition that it could take over follows")
    end = activation or added
    assert end is not None  # noqa: S101 (the chain has one of them)
    # Fused, input and addend are read where the last of them was computed.
    if may_overwrite(root, node, end, source, chain) or (
        added is not None
        and addend is not None
        and added is not end
        and may_overwrite(root, added, end, addend, chain)
    ):
        raise LeftError("what it reads may be overwritten before the activation")
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
