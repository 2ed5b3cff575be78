"""Modules of torch that compute an activation which our layers can fuse."""

from torch import nn

_NAMES: dict[type[nn.Module], str] = {
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
#: Settings that the fused activations have fixed: any other value is another function.
SETTINGS = {"negative_slope": 0.01, "alpha": 1.0, "approximate": "none"}


def activation_of_module(module: nn.Module) -> str | None:
    """Return the name of the activation that the module computes; None if no layer of ours can fuse it.

    A subclass, and a module whose ``forward`` was replaced, may compute anything. Hooks are the caller's to ask for.
    """
    name = _NAMES.get(type(module))
    if name is None or "forward" in module.__dict__:
        return None
    for setting, value in SETTINGS.items():
        if module.__dict__.get(setting, value) != value:
            return None
    return name
