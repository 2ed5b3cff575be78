"""The activation that a node of a traced forward pass applies, if a BN layer can take it over."""

from operator import attrgetter
from typing import Any

import torch
from torch import fx, nn

from normwise.activations import ACTIVATIONS, FIXED_SETTINGS
from normwise.nn.tools.activation_module import activation_of_module
from normwise.nn.tools.hooks import has_hooks

_FUNCTIONS: dict[Any, str] = {
    attrgetter(path)(torch): name for name, row in ACTIVATIONS.items() for path in row.functions
}
_METHODS = {method: name for name, row in ACTIVATIONS.items() for method in row.methods}


def activation_of(node: fx.Node, root: nn.Module) -> str | None:
    """Return the name of the activation that ``node`` of ``root``'s graph applies; None if no layer can fuse it."""
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        return None if has_hooks(module) or len(node.args) != 1 else activation_of_module(module)
    # Anything beyond its input may make it another function.
    if len(node.args) != 1 or any(
        value != FIXED_SETTINGS.get(name) for name, value in node.kwargs.items() if name != "inplace"
    ):
        return None
    if node.op == "call_function":
        return _FUNCTIONS.get(node.target)
    return _METHODS.get(str(node.target)) if node.op == "call_method" else None
