"""Activation that a node of a traced forward pass applies, if a BN layer can fuse it."""

from torch import fx, nn

from normwise.activations import FIXED_SETTINGS
from normwise.kernels.torch_backend.activations import FUNCTIONS, METHODS
from normwise.nn.tools.activation_module import activation_of_module
from normwise.nn.tools.hooks import has_hooks


def activation_of(node: fx.Node, root: nn.Module) -> str | None:
    """Return the name of the activation that ``node`` of ``root``'s graph applies; None if no layer can fuse it."""
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        return None if has_hooks(module) or len(node.args) != 1 else activation_of_module(module)
    # Further arguments may make it another function.
    if len(node.args) != 1 or any(
        value != FIXED_SETTINGS.get(name) for name, value in node.kwargs.items() if name != "inplace"
    ):
        return None
    if node.op == "call_function":
        return FUNCTIONS.get(node.target)
    return METHODS.get(str(node.target)) if node.op == "call_method" else None
