"""Modules of torch that compute an activation which our layers can fuse."""

from torch import nn

from normwise.activations import ACTIVATIONS, FIXED_SETTINGS

_NAMES: dict[type[nn.Module], str] = {getattr(nn, row.module): name for name, row in ACTIVATIONS.items()}


def activation_of_module(module: nn.Module) -> str | None:
    """Return the name of the activation that the module computes; None if no layer of ours can fuse it.

    A subclass, or a module whose ``forward`` was replaced, may compute anything. The caller must check for hooks.
    """
    name = _NAMES.get(type(module))
    if name is None or "forward" in module.__dict__:
        return None
    for setting, value in FIXED_SETTINGS.items():
        if module.__dict__.get(setting, value) != value:
            return None
    return name
