"""Which activation a node of a traced forward pass is, if a BN layer can take it over."""

import torch
from torch import fx, nn
from torch.nn import functional as F

_MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.LeakyReLU: "leaky_relu",
    nn.ELU: "elu",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.Hardswish: "hardswish",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
}
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
#: Settings that the layers have fixed: any other value is another function.
_SETTINGS = {"negative_slope": 0.01, "alpha": 1.0, "approximate": "none"}


def activation_of(node: fx.Node, root: nn.Module) -> str | None:
    """The name of the activation that ``node`` of ``root``'s graph applies; None if it is none of ours."""
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        fixed = all(getattr(module, name, value) == value for name, value in _SETTINGS.items())
        return (
            _MODULES.get(type(module))
            if fixed and not module._forward_hooks and not module._backward_hooks
            else None
        )
    # Anything beyond its input may make it another function.
    if len(node.args) != 1 or any(
        value != _SETTINGS.get(name) for name, value in node.kwargs.items() if name != "inplace"
    ):
        return None
    if node.op == "call_function":
        return _FUNCTIONS.get(node.target)
    return _METHODS.get(str(node.target)) if node.op == "call_method" else None
