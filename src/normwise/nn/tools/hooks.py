"""Detection of hooks that would notice a change to a module."""

from torch import nn


def has_hooks(module: nn.Module) -> bool:
    """Return whether hooks see, and may change, what goes through the module forwards or backwards."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )
