"""Calls of batch normalization in which each part of the batch has its own statistics."""

from collections.abc import Sequence

import torch
from torch import Tensor

from normwise.kernels import autograd
from normwise.kernels.backend import STAGED_BACKENDS
from normwise.kernels.call import Call
from normwise.kernels.eager import is_eager
from normwise.kernels.memory import check_memory
from normwise.kernels.torch_backend import parts


def part_sizes(shape: Sequence[int], most: int) -> tuple[int, ...]:
    """Return the number of samples of each part of a batch ``(N, C, *)``, as equal as possible, at most ``most``.

    If a sample has one value per channel, a part has at least two samples, even if ``most`` is 1 or the batch is
    odd.
    """
    samples, values = shape[0], 1
    for size in shape[2:]:
        values *= size
    parts = -(-samples // most)
    if values == 1:
        parts = min(parts, samples // 2)
    if parts <= 1:
        return (samples,)
    # Not divmod, which torch.compile can't trace with a symbolic batch size.
    size, more = samples // parts, samples % parts
    return (size + 1,) * more + (size,) * (parts - more)


def batch_norm_in_parts(call: Call, sizes: Sequence[int]) -> Tensor:
    """Return the output of a checked training call; the whole batch updates its running statistics.

    Args:
        call: Training call.
        sizes: Sizes of the parts, from :func:`part_sizes`.
    """
    x, mean, var, weight, bias = call.x, call.running_mean, call.running_var, call.weight, call.bias
    if not torch.compiler.is_compiling():
        if is_eager(x, mean, var, weight, bias, call.residual, call.mask, call.counter):
            for backend in STAGED_BACKENDS:
                if backend.covers(call):
                    call.parts = len(sizes)
                    return autograd.batch_norm(backend, call)
        if x.is_cpu:
            check_memory(x, mean, var, weight, bias, call.residual, call.mask, call.counter)
    return parts.batch_norm_in_parts(call, sizes)
