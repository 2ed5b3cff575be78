"""The operator ``normwise::batch_norm`` as formulas, from which Inductor makes loops of its own on a CPU.

Nothing fuses with an operator that Inductor can't see into. The loops that it makes of these formulas take one pass
over memory for the sums and one to normalise, and take in what stands beside batch normalization.

Sums are float32, of deviations from the mean of a sixteenth of the batch. By the inequality of Cauchy and Schwarz the
square of its distance from the batch's mean is at most 16 times the variance, whatever the data are: at most 5 bits
cancel, and none where the batch is in random order. What depends on the channel alone is float64.

Inductor computes a value again for each element unless it has a reason to write it to memory. A stack is one: so what
the loops need of a channel is stacked.
"""

from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from normwise.activations import ACTIVATIONS as _RULES
from normwise.kernels.call import one_value
from normwise.kernels.inductor.slopes import NEGATIVE_SLOPE, SLOPES
from normwise.kernels.torch_backend.activations import ACTIVATIONS

#: The share of the batch whose mean is taken off.
_SHARE = 16
#: Positions a channel that plain sums of float32 may have.
_MOST_PLAIN = 2**16
#: Positions from which on each sample is summed up by itself: it stays in the nearest cache meanwhile.
_PLANE = 32


def register(table: Any) -> None:
    """Give Inductor's module ``decomposition`` the formulas."""
    for name, formulas in (("batch_norm", forward), ("batch_norm_backward", backward)):
        table.register_decomposition([getattr(torch.ops.normwise, name).default])(formulas)
    # A copy of the table may have been made before.
    table.fast_random_decomps.cache_clear()


def forward(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    mask: Tensor | None,
    eps: float,
    activation: str | None,
    formulas: str = "",
) -> Any:
    """Return the operator's outputs; NotImplemented where it stays in the graph."""
    if not _decomposes(x, mask):
        return NotImplemented
    values, n, column = x.float(), x.numel() // x.shape[1], _column(x)
    if isinstance(n, int) and n == 1:
        raise one_value(x)
    coarse = _part(values).mean(_axes(x))
    shift = torch.stack((coarse, coarse))[0]
    deviations = values - shift.view(column)
    first, second = _sum(deviations), _sum(deviations * deviations)
    offset = first.double() / n
    variance = (second.double() / n - offset * offset).clamp(min=0)
    mean, inverse = shift.double() + offset, torch.rsqrt(variance + eps)
    scale = inverse if weight is None else inverse * weight.double()
    start = -offset * scale if bias is None else bias.double() - offset * scale
    of_channel = torch.stack((scale.float(), start.float()))
    y = deviations * of_channel[0].view(column) + of_channel[1].view(column)
    if residual is not None:
        y = y + residual.float()
    if activation is not None:
        y = ACTIVATIONS[activation](y)
    return (
        y.to(x.dtype),
        torch.stack((mean, inverse)),
        torch.stack((mean, variance * (n / (n - 1)))),
    )


def backward(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    saved: Tensor,
    slope_source: Tensor | None,
    grad_y: Tensor,
    mask: Tensor | None,
    activation: str | None,
) -> Any:
    """Return the operator's gradients; NotImplemented where it stays in the graph."""
    if not _decomposes(x, mask):
        return NotImplemented
    n, column = x.numel() // x.shape[1], _column(x)
    mean, inverse = saved[0].double(), saved[1].double()
    scale = inverse if weight is None else inverse * weight.double()
    # A mean of many deviations has more digits than float32.
    shift = mean.float()
    rest = mean - shift.double()
    start = -rest * scale if bias is None else bias.double() - rest * scale
    sign, bound = _condition(shift, scale, start)
    of_channel = torch.stack((shift, scale.float(), start.float(), sign, bound))
    values, grad = x.float(), grad_y.float()
    deviations = values - of_channel[0].view(column)
    if activation is not None and slope_source is not None:
        # A zero that depends on the gradient: the partition of the graph would keep the comparison with 0 as a tensor
        # otherwise, and Inductor's loops are slow with booleans in memory.
        zero = torch.where(grad > 0, 0.0, 0.0)
        if _RULES[activation].slope_from_output:
            grad = torch.where(slope_source <= zero, 0.0, grad)
        else:
            z = deviations * of_channel[1].view(column) + of_channel[2].view(column)
            grad = SLOPES[activation](grad, z + slope_source.float() + zero)
    elif activation in ("relu", "leaky_relu"):
        below = values * of_channel[3].view(column) <= of_channel[4].view(column)
        grad = torch.where(below, 0.0 if activation == "relu" else grad * NEGATIVE_SLOPE, grad)
    elif activation is not None:
        z = deviations * of_channel[1].view(column) + of_channel[2].view(column)
        grad = SLOPES[activation](grad, z)
    first, second = _sum(grad).double(), _sum(grad * deviations).double()
    second = second - rest * first
    slope = second * inverse * inverse / n
    of_sums = torch.stack(((-slope * scale).float(), ((rest * slope - first / n) * scale).float()))
    grad_x = (
        grad * of_channel[1].view(column) + deviations * of_sums[0].view(column) + of_sums[1].view(column)
    )
    return (
        grad_x.to(x.dtype),
        (second * inverse).float(),
        first.float(),
        x.new_empty(0) if slope_source is None else grad.to(x.dtype),
    )


def _condition(shift: Tensor, scale: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Return s and b of each channel, so that s x <= b where (x - shift) scale + start <= 0 is.

    Inductor computes a value again for each that is made of it as long as it reads four others, which x, the gradient,
    s and b are; it writes what reads five to memory.
    """
    sign = scale.sign()
    exact = sign * (shift.double() - start / scale)
    bound = exact.float()
    below = torch.nextafter(bound, torch.full_like(bound, -torch.inf))
    # Not the nearest number, but the one below: where the mean is many deviations, x and its neighbours are far apart.
    bound = torch.where(bound.double() > exact, below, bound)
    always = torch.where(start <= 0, torch.inf, -torch.inf).float()
    return sign.float(), torch.where(scale == 0, always, bound)


def _decomposes(x: Tensor, mask: Tensor | None) -> bool:
    if x.device.type != "cpu" or mask is not None or x.numel() == 0:
        return False
    n = x.numel() // x.shape[1]
    return _sums_are_cascaded() or (isinstance(n, int) and n <= _MOST_PLAIN)


@cache
def _sums_are_cascaded() -> bool:
    """Return whether Inductor's sums of float32 are sums of sums, as torch's own are; those of torch 2.8 are not."""
    return hasattr(import_module("torch._inductor.codegen.cpp"), "replace_cascade_sum_with_add")


def _part(values: Tensor) -> Tensor:
    """Return the first sixteenth of the batch, or of the rows of a batch that is smaller than that."""
    batch, rows = values.shape[0], values.shape[2] if values.dim() > 2 else 0
    small = isinstance(batch, int) and isinstance(rows, int) and batch < min(_SHARE, rows)
    axis = 2 if small else 0
    return values.narrow(axis, 0, (values.shape[axis] + _SHARE - 1) // _SHARE)


def _sum(values: Tensor) -> Tensor:
    """Return the sum of each channel."""
    plane = values.shape[2:].numel() if all(isinstance(size, int) for size in values.shape[2:]) else 0
    if plane < _PLANE:
        return values.sum(_axes(values))
    return values.sum(tuple(range(2, values.dim()))).sum(0)


def _axes(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.dim()))


def _column(x: Tensor) -> tuple[int, ...]:
    return (1, -1, *([1] * (x.dim() - 2)))
