"""Who would notice that a module gives other values than before."""

from torch import nn


def has_hooks(module: nn.Module) -> bool:
    """Whether hooks see, and may change, what goes through the module forwards or backwards."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )
