"""The three parts of batch normalization on torch's operators: moments, normalise and update_running.

Arguments are expected to be checked; :mod:`normwise.functional` documents the functions and checks them.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from normwise.errors import ArgumentError
from normwise.kernels.torch_backend.activations import ACTIVATIONS

_is_mapped = torch._C._functorch.is_batchedtensor  # pyright: ignore[reportAttributeAccessIssue]


class ChannelMoments(NamedTuple):
    """Moments of each channel of a batch.

    Attributes:
        count: Number of real positions, 0-dimensional, the same in each channel. It has the mean's floating-point
            dtype, so that shares of counts are as exact.
        mean: Mean of each channel, ``(C,)``.
        variance: Biased variance of each channel, ``(C,)``, divided by ``count``.
    """

    count: Tensor  # pyright: ignore[reportIncompatibleMethodOverride]
    mean: Tensor
    variance: Tensor


def moments(x: Tensor, mask: Tensor | None = None) -> ChannelMoments:
    """Return the moments of ``(N, C, *)``, with gradients."""
    values = x.to(torch.promote_types(x.dtype, torch.float32))
    axes, column = _axes(x), _column(x)
    wide = _widest(x)
    if mask is None:
        count = torch.full((), x.numel() // max(x.shape[1], 1), dtype=wide, device=x.device)
    else:
        count = mask.sum().to(wide)
    m = count.clamp(min=1).to(values.dtype)
    values = _where_real(values, mask)
    # Two passes around a shift close to the mean. Neither mean nor variance depends on the shift, so it is a
    # constant for autograd; its distance from the mean is added back.
    shift = values.detach().sum(axes) / m
    shifted = _where_real(values - shift.view(column), mask)
    error = shifted.sum(axes) / m
    variance = _where_real(shifted - error.view(column), mask).square().sum(axes) / m
    return ChannelMoments(count, shift.to(wide) + error.to(wide), variance.to(wide))


def normalise(
    x: Tensor,
    mean: Tensor,
    inverse_deviation: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    activation: str | None = None,
    residual: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Return ``activation(weight * (x - mean) * inverse_deviation + bias + residual)``, 0 where the mask is False."""
    dtype, column = torch.promote_types(x.dtype, torch.float32), _column(x)
    # In two parts: a mean of many deviations would be rounded too coarsely in float32.
    coarse = mean.detach().to(dtype)
    rest = (mean - coarse.to(mean.dtype)).to(dtype)
    y = _where_real(x, mask).to(dtype) - coarse.view(column) - rest.view(column)
    y = _where_real(y, mask) * inverse_deviation.to(dtype).view(column)
    if weight is not None:
        y = y * weight.to(dtype).view(column)
    if bias is not None:
        y = y + bias.to(dtype).view(column)
    return add_and_activate(y.to(x.dtype), activation, residual, mask)


def add_and_activate(
    y: Tensor, activation: str | None, residual: Tensor | None, mask: Tensor | None
) -> Tensor:
    """Return ``activation(y + residual)``, 0 where the mask is False."""
    if residual is not None:
        y = y + _where_real(residual, mask)
    if activation is not None:
        y = ACTIVATIONS[activation](y)
    return _where_real(y, mask)


def update_running(
    running_mean: Tensor | None,
    running_var: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    count: Tensor,
    momentum: float | Tensor | None,
    counter: Tensor | None = None,
) -> None:
    """Update running statistics, in place, with the moments of a batch, and count it in ``counter``.

    Without a momentum they are the plain average over the batches; without a counter, they stay unchanged.
    """
    moved = count > 1
    if running_mean is not None:
        _check_mapped(running_mean, mean)
    with torch.no_grad():
        if counter is not None:
            counter.add_(moved)
            if momentum is None:
                momentum = 1.0 / counter.clamp(min=1).to(_widest(mean))
        if momentum is not None:
            n = count.to(torch.promote_types(variance.dtype, torch.float32))
            move(running_mean, mean, momentum, moved)
            move(running_var, variance * (n / (n - 1).clamp(min=1)), momentum, moved)


def _check_mapped(running: Tensor, batch: Tensor) -> None:
    """Raise ArgumentError if ``torch.vmap`` maps over the input, but not over the statistics that it would update."""
    if not torch.compiler.is_compiling() and _is_mapped(batch) and not _is_mapped(running):
        raise ArgumentError(
            "torch.vmap maps over the input and not over the running statistics, which training would move for each of "
            "its entries; use track_running_stats=False or .eval(), or map over the buffers as well, as of "
            "torch.func.stack_module_state"
        )


def move(running: Tensor | None, batch: Tensor, momentum: float | Tensor, moved: Tensor | bool) -> None:
    """Set ``running`` to ``(1 - momentum) running + momentum batch`` where ``moved``, in float32 or better."""
    if running is None or moved is False:
        return
    dtype = torch.promote_types(batch.dtype, torch.float32)
    # A number stays a number: a tensor would be copied to the device, and the host would wait for that.
    weight = momentum.to(batch.device, dtype) if isinstance(momentum, Tensor) else momentum
    # Detached, not under no_grad: a graph with such a region can be saved, but not loaded.
    running = running.detach()
    target = running.to(dtype).lerp(batch.detach().to(dtype), weight)
    running.copy_(target if moved is True else torch.where(moved, target, running))


def _where_real(values: Tensor, mask: Tensor | None) -> Tensor:
    # Select, don't multiply: padding may hold NaN, and 0 · NaN is NaN, also in the gradient.
    return values if mask is None else torch.where(mask.unsqueeze(1), values, 0)


def _axes(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.dim()))


def _column(x: Tensor) -> tuple[int, ...]:
    """Return the shape in which one value per channel is broadcast over ``(N, C, *)``."""
    return (1, -1, *([1] * (x.dim() - 2)))


def _widest(x: Tensor) -> torch.dtype:
    # Metal has no float64.
    return torch.float32 if x.device.type == "mps" else torch.float64
