"""The activation that a node of a traced forward pass applies, if a BN layer can take it over."""

import torch
from torch import fx, nn
from torch.nn import functional as F

from normwise.nn.tools.activation_module import SETTINGS, activation_of_module
from normwise.nn.tools.hooks import has_hooks

_FUNCTIONS = {
    torch.relu: "relu",
    torch.relu_: "relu",
    F.relu: "relu",
    F.relu6: "relu6",
    F.leaky_relu: "leaky_relu",
    F.elu: "elu",
    F.gelu: "gelu",
    F.silu: "silu",
    F.hardswish: "hardswish",
    torch.sigmoid: "sigmoid",
    F.sigmoid: "sigmoid",
    torch.tanh: "tanh",
    F.tanh: "tanh",
}
_METHODS = {name + end: name for name in ("relu", "sigmoid", "tanh") for end in ("", "_")}


def activation_of(node: fx.Node, root: nn.Module) -> str | None:
    """Return the name of the activation that ``node`` of ``root``'s graph applies; None if no layer can fuse it."""
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        return None if has_hooks(module) or len(node.args) != 1 else activation_of_module(module)
    # Anything beyond its input may make it another function.
    if len(node.args) != 1 or any(
        value != SETTINGS.get(name) for name, value in node.kwargs.items() if name != "inplace"
    ):
        return None
    if node.op == "call_function":
        return _FUNCTIONS.get(node.target)
    return _METHODS.get(str(node.target)) if node.op == "call_method" else None
