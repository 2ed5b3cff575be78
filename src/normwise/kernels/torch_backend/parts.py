"""Batch normalization in which each part of the batch has its own statistics, on torch's operators."""

from collections.abc import Sequence
from itertools import accumulate, groupby

import torch
from torch import Tensor

from normwise.kernels.call import Call
from normwise.kernels.torch_backend.primitives import add_and_activate, update_running


def batch_norm_in_parts(call: Call, sizes: Sequence[int]) -> Tensor:
    """Return the output of a training call whose parts, consecutive samples, have their own statistics.

    All parts are computed at once: values are summed by sample, ``(N, C)``, and these sums by part.
    """
    x, mask = call.x, call.mask
    dtype = torch.promote_types(x.dtype, torch.float32)
    wide = torch.float32 if x.device.type == "mps" else torch.float64
    runs = [(size, len(list(equal))) for size, equal in groupby(sizes)]
    if mask is None:
        per_sample = x.new_full((len(x),), x[0, 0].numel(), dtype=wide)
    else:
        per_sample = mask.flatten(1).sum(1).to(wide) if mask.dim() > 1 else mask.to(wide)
    counts = _added(per_sample[:, None], runs)[:, 0]
    per_value = 1 / counts.clamp(min=1)[:, None]
    part_of = _part_of(runs, x.device)

    def mean(values: Tensor) -> Tensor:
        """Return the mean of ``(N, C, *)`` over each part, ``(parts, C)``."""
        sums = values.flatten(2).sum(2) if values.dim() > 2 else values
        return _added(sums.to(wide), runs) * per_value

    def at_samples(statistics: Tensor) -> Tensor:
        """Return ``(parts, C)`` as ``(N, C, 1, ...)``."""
        return statistics.to(dtype)[part_of].reshape(*x.shape[:2], *([1] * (x.dim() - 2)))

    # Two passes around a shift close to the mean; see primitives.moments.
    values = _where_real(x, mask).to(dtype)
    shift = mean(values.detach()).to(dtype)
    shifted = _where_real(values - at_samples(shift), mask)
    error = mean(shifted)
    deviations = _where_real(shifted - at_samples(error), mask)
    variance = mean(deviations.square())
    y = deviations * at_samples(torch.rsqrt(variance + call.eps))
    for parameter, apply in ((call.weight, torch.mul), (call.bias, torch.add)):
        if parameter is not None:
            y = apply(y, parameter.to(dtype).view(1, -1, *([1] * (x.dim() - 2))))
    # The remainder is added to the shift that was subtracted, not to a better mean.
    _move(call, counts, shift.to(wide) + error.detach(), variance.detach())
    return add_and_activate(y.to(x.dtype), call.activation, call.residual, mask)


def equal_parts(call: Call) -> Tensor:
    """Return the output of a call with only a number of parts: the first ones have one sample more."""
    size, more = divmod(len(call.x), call.parts)
    return batch_norm_in_parts(call, (size + 1,) * more + (size,) * (call.parts - more))


def _move(call: Call, counts: Tensor, means: Tensor, variances: Tensor) -> None:
    """Update the running statistics with the moments of the whole batch."""
    count = counts.sum()
    shares = (counts / count.clamp(min=1))[:, None]
    # Relative to the mean of a part that has values, so that differences are summed. Indexing with a Python
    # number would wait for the GPU.
    first = means.index_select(0, counts.argmax(0, keepdim=True))
    mean = first[0] + (shares * (means - first)).sum(0)
    variance = (shares * (variances + (means - mean).square())).sum(0)
    update_running(call.running_mean, call.running_var, mean, variance, count, call.momentum, call.counter)


def _added(values: Tensor, runs: Sequence[tuple[int, int]]) -> Tensor:
    """Return the sums of ``(N, C)`` over each part, ``(parts, C)``, for runs of parts of one size and their number.

    It uses views instead of a product with a matrix of ones and zeros, in which NaN of one part would spread to
    all.
    """
    pieces = values.split([size * count for size, count in runs])
    return torch.cat(
        [piece.reshape(count, size, -1).sum(1) for piece, (size, count) in zip(pieces, runs, strict=True)]
    )


def _part_of(runs: Sequence[tuple[int, int]], device: torch.device) -> Tensor:
    """Return the part of each sample, ``(N,)``."""
    firsts = [0, *accumulate(count for _, count in runs)]
    return torch.cat(
        [
            torch.arange(first, first + count, device=device).repeat_interleave(size)
            for first, (size, count) in zip(firsts[:-1], runs, strict=True)
        ]
    )


def _where_real(values: Tensor, mask: Tensor | None) -> Tensor:
    return values if mask is None else torch.where(mask.unsqueeze(1), values, 0)
