"""Fusion of batch normalization in a graph with the following addition and activation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from normwise.dynamo.activation_nodes import activation_of
from normwise.dynamo.addition_nodes import addend_of
from normwise.dynamo.batch_norm_nodes import BatchNormNode, batch_norm_of
from normwise.dynamo.interference import may_interfere
from normwise.dynamo.kept_tensors import may_be_overwritten


@dataclass(frozen=True)
class Fusion:
    """One call of normwise, and the nodes that it replaces.

    Attributes:
        norm: Batch normalization of the fusion.
        chain: Replaced nodes in order; the first is the batch normalization.
        activation: Name of the activation; None for none.
        addend: Node that is added; None for none.
    """

    norm: BatchNormNode
    chain: tuple[fx.Node, ...]
    activation: str | None = None
    addend: fx.Node | None = None


def find_fusions(graph: fx.Graph, *, evaluation: bool) -> list[Fusion]:
    """Return the possible fusions in a graph that Dynamo has traced, without changing it.

    Args:
        graph: Graph to search.
        evaluation: Whether batch normalization with running statistics is replaced as well.
    """
    found: list[Fusion] = []
    taken: set[fx.Node] = set()
    for node in graph.nodes:
        norm = batch_norm_of(node)
        if norm is not None and (norm.training or evaluation):
            fusion = _longest(norm, taken)
            if fusion is not None:
                taken.update(fusion.chain)
                found.append(fusion)
    return found


def replace(graph: fx.Graph, fusions: list[Fusion], function: Callable[..., Tensor]) -> None:
    """Replace the nodes of fusions by calls of ``function``, one of :mod:`normwise.dynamo.fused_call`."""
    replaced: dict[Any, fx.Node] = {}
    for fusion in fusions:
        norm, last = fusion.norm, fusion.chain[-1]
        arguments = (
            norm.x,
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
            norm.training,
            norm.momentum,
            norm.eps,
            fusion.activation,
            fusion.addend,
        )
        with graph.inserting_before(last):
            call = graph.call_function(function, tuple(replaced.get(value, value) for value in arguments))
        call.meta = dict(last.meta)
        replaced[last] = call
        last.replace_all_uses_with(call)
        for node in reversed(fusion.chain):
            graph.erase_node(node)
    graph.lint()


def _longest(norm: BatchNormNode, taken: set[fx.Node]) -> Fusion | None:
    """Return the longest chain after a batch normalization that can be fused with it; None if there is none."""
    chain, addend = [norm.node], None
    found = _checked(norm, chain, None, None)
    user = _only_user(norm.node, taken)
    if user is not None:
        addend = addend_of(user, norm.node)
        added = None if addend is None else _checked(norm, [*chain, user], None, addend)
        if added is None:
            addend = None
        else:
            found = added
            chain.append(user)
            user = _only_user(user, taken)
    activation = None if user is None else activation_of(user, chain[-1])
    activated = (
        None if user is None or activation is None else _checked(norm, [*chain, user], activation, addend)
    )
    return activated or found


def _checked(
    norm: BatchNormNode, chain: list[fx.Node], activation: str | None, addend: fx.Node | None
) -> Fusion | None:
    """Return a chain as a fusion, if it computes the same and its backward pass needs no overwritten tensor."""
    if (
        not norm.covers(activation, addend)
        or may_interfere(norm, chain, addend)
        or may_be_overwritten(norm, chain, activation, addend)
    ):
        return None
    return Fusion(norm, tuple(chain), activation, addend)


def _only_user(node: fx.Node, taken: set[fx.Node]) -> fx.Node | None:
    """Return the only node that uses the value of ``node``, unless it was replaced already."""
    user = next(iter(node.users)) if len(node.users) == 1 else None
    return None if user in taken else user
