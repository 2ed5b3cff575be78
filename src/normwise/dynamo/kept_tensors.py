"""Tensors that a fused call saves for its backward pass, and torch's separate operators do not.

Autograd refuses a backward pass whose saved tensors were overwritten. A model that overwrites tensors which torch
does not need would work without normwise, and fail with it.
"""

from torch import fx

from normwise.activations import ACTIVATIONS
from normwise.dynamo.batch_norm_nodes import BatchNormNode
from normwise.dynamo.fake_values import memory_of, tensor_of
from normwise.dynamo.interference import written_by


def may_be_overwritten(
    norm: BatchNormNode, chain: list[fx.Node], activation: str | None, addend: fx.Node | None
) -> bool:
    """Return whether the graph overwrites a tensor that a call replacing ``chain`` saves and torch does not.

    Inputs of the graph that share memory only in a later call are not found: autograd raises for those itself.
    """
    if not _requires_gradient(chain[-1]):
        return False
    kept = {memory for node in _kept(norm, activation, addend) for memory in memory_of(node)}
    # Batch normalization itself updates its statistics.
    node = norm.node
    while kept and node.op != "output":
        # An in-place addition or activation is replaced, and overwrites nothing any more.
        stays = node is norm.node or node not in chain
        if stays and any(kept & memory_of(written) for written, _ in written_by(node)):
            return True
        node = node.next
    return False


def _kept(norm: BatchNormNode, activation: str | None, addend: fx.Node | None) -> list[fx.Node]:
    """Return the nodes that the call saves; torch saves input and weight, and the activation's input or output."""
    kept = [] if norm.bias is None else [norm.bias]
    if addend is None:
        return kept
    if activation is not None and not ACTIVATIONS[activation].slope_from_output:
        kept.append(addend)
    if not _requires_gradient(norm.node):
        # Only the addend has a gradient, for which torch does not save them.
        kept += [norm.x] if norm.weight is None else [norm.x, norm.weight]
    return kept


def _requires_gradient(node: fx.Node) -> bool:
    value = tensor_of(node)
    return value is not None and value.requires_grad
