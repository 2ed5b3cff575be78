"""Check that tensors are plain and torch runs eagerly, for all compiled backends."""

import torch
from torch import Tensor
from torch.autograd import forward_ad

from normwise.kernels.memory import PLAIN

# Bound once, since Python dominates the cost of small calls.
_transforms = torch._C._functorch.peek_interpreter_stack  # pyright: ignore[reportAttributeAccessIssue]
_dispatch_modes, _function_modes = torch._C._len_torch_dispatch_stack, torch._C._len_torch_function_stack
_is_tracing = torch._C._is_tracing


def is_eager(*tensors: Tensor | None) -> bool:
    """Return whether tensors are plain: no subclass, no tracing, no function transform, no mode."""
    for tensor in tensors:
        if tensor is not None and type(tensor) not in PLAIN:
            return False
    return (
        _transforms() is None
        and _dispatch_modes() == 0
        and _function_modes() == 0
        and forward_ad._current_level < 0
        and not _is_tracing()
    )
