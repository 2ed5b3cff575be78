"""Dispatch of a call: to the first compiled backend that covers it, else to torch's operators.

The size of the input does not matter: a call has the same statistics, and the same errors, for any size.
"""

import torch
from torch import Tensor
from torch.overrides import handle_torch_function

from normwise.kernels import autograd, compiled_graphs, torch_backend
from normwise.kernels.backend import BACKENDS
from normwise.kernels.call import Call
from normwise.kernels.eager import is_eager
from normwise.kernels.memory import check_memory
from normwise.kernels.torch_backend import primitives
from normwise.kernels.torch_backend.primitives import ChannelMoments


def batch_norm(call: Call) -> Tensor:
    """Return the output of a checked call, and update its running statistics and counter in training."""
    x = call.x
    if torch.compiler.is_compiling():
        return (
            compiled_graphs.batch_norm(call)
            if compiled_graphs.covers(call)
            else torch_backend.batch_norm(call)
        )
    mean, var, weight, bias = call.running_mean, call.running_var, call.weight, call.bias
    if is_eager(x, mean, var, weight, bias, call.residual, call.mask, call.counter):
        for backend in BACKENDS:
            if backend.covers(call):
                return autograd.batch_norm(backend, call)
    elif torch._C._len_torch_function_stack() > 0:
        # The topmost mode sees one call, like torch's own; its implementation gets here again without the
        # mode.
        return handle_torch_function(batch_norm, (x,), call)
    if x.is_cpu:
        check_memory(x, mean, var, weight, bias, call.residual, call.mask, call.counter)
    return torch_backend.batch_norm(call)


def channel_sums(x: Tensor, mask: Tensor | None = None) -> tuple[int, Tensor, Tensor]:
    """Return the number of elements per channel, and in float64 mean and sum of squared deviations, of ``(N, C, *)``.

    There is no gradient. Without elements the mean is 0.
    """
    x = x.detach()
    if is_eager(x, mask):
        call = Call(x, training=True, mask=mask)
        for backend in BACKENDS:
            if backend.covers(call):
                return backend.moments(call)
    check_memory(x, mask)
    return torch_backend.channel_sums(x, mask)


@torch.no_grad()
def batch_moments(x: Tensor, mask: Tensor | None = None) -> ChannelMoments:
    """Return count, mean and biased variance of each channel of ``(N, C, *)`` as tensors, without a gradient.

    The host does not wait for a GPU.
    """
    if x.is_cpu and is_eager(x, mask):
        count, mean, squares = channel_sums(x, mask)
        return ChannelMoments(torch.tensor(float(count), dtype=torch.float64), mean, squares / max(count, 1))
    return primitives.moments(x.detach(), mask)
