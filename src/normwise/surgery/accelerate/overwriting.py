"""Nodes of a traced forward pass that may write into a value that another node computed."""

import operator

import torch
from torch import fx, nn
from torch.nn import functional as F

#: Functions that return newly allocated memory.
_FRESH = {
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.matmul,
    operator.neg,
    torch.add,
    torch.sub,
    torch.mul,
    torch.cat,
    torch.relu,
    torch.sigmoid,
    torch.tanh,
    F.silu,
    F.gelu,
    F.conv1d,
    F.conv2d,
    F.conv3d,
    F.linear,
}
_FRESH_MODULES = (
    nn.modules.conv._ConvNd,
    nn.Linear,
    nn.modules.batchnorm._NormBase,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
)
_IN_PLACE = {getattr(operator, name) for name in vars(operator) if name.startswith("__i")} - {
    operator.index,
    operator.inv,
    operator.invert,
}
_OUTSIDE = "outside"


def may_overwrite(
    root: nn.Module, first: fx.Node, last: fx.Node, value: fx.Node, chain: set[fx.Node]
) -> bool:
    """Return whether a node between ``first`` and ``last``, outside of ``chain``, may write into ``value``.

    Two values may share memory unless one of them is known to be newly allocated: a value may be a view, a module
    may return its input, and the same tensor may be passed as two arguments.
    """
    memory = _memory(root, value)
    node = first.next
    while node is not last:
        if node not in chain and any(memory & _memory(root, target) for target in _written(root, node)):
            return True
        node = node.next
    return False


def _written(root: nn.Module, node: fx.Node) -> list[fx.Node]:
    """Return the values that the node may write into."""
    if node.op == "call_module":
        return node.all_input_nodes if _may_write(root.get_submodule(str(node.target))) else []
    if node.op == "call_function":
        name = str(getattr(node.target, "__name__", ""))
        origin = str(getattr(node.target, "__module__", ""))
        writes = (
            node.target in _IN_PLACE
            or (name.endswith("_") and not name.endswith("__"))
            or not origin.startswith(("torch", "_operator", "math", "builtins"))
        )
    elif node.op == "call_method":
        name = str(node.target)
        writes = (name.endswith("_") and not name.endswith("__")) or name == "__setitem__"
    else:
        return []
    # F.relu(x, True) as well.
    flagged = node.kwargs.get("inplace") or "out" in node.kwargs or any(value is True for value in node.args)
    return node.all_input_nodes if writes or flagged else []


def _may_write(module: nn.Module) -> bool:
    """Return whether a module may write into its input: torch's modules say so, others may do anything."""
    return any(
        not type(inner).__module__.startswith(("torch.nn.modules.", "normwise.nn."))
        or bool(getattr(inner, "inplace", False))
        or "forward" in vars(inner)
        for inner in module.modules()
    )


def _memory(root: nn.Module, node: fx.Node) -> set[fx.Node | str]:
    """Return the nodes whose memory ``node``'s value may share, and whether it may share memory from outside."""
    if node.op in ("placeholder", "get_attr"):
        return {_OUTSIDE}
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        if isinstance(module, _FRESH_MODULES) and not _may_write(module):
            return {node}
        known = not any(
            not type(inner).__module__.startswith(("torch.nn.modules.", "normwise.nn."))
            for inner in module.modules()
        )
        found: set[fx.Node | str] = {node} if known else {node, _OUTSIDE}
    elif node.op == "call_function" and node.target in _FRESH:
        return {node}
    else:
        found = {node}
    for source in node.all_input_nodes:
        found |= _memory(root, source)
    return found
