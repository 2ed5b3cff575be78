"""Batch normalization on torch's own operators: right everywhere, differentiable twice, traceable.

torch's operator alone loses digits, and with the channels last the variance, where the mean of float32 on a CPU is many
deviations. There it gets the deviations from the mean, which costs another pass or two.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from normwise.kernels.activation import ACTIVATIONS


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float | Tensor | None,
    eps: float,
    activation: str | None,
    residual: Tensor | None,
    mask: Tensor | None,
    counter: Tensor | None = None,
) -> Tensor:
    """The equation of :func:`normwise.functional.batch_norm`; arguments are expected to be checked.

    ``counter`` is the number of batches so far, which training moves; without a momentum the running statistics
    are the plain average over them.
    """
    counts: bool | Tensor = False
    if counter is not None and training:
        # A batch without statistics is none: neither the buffers nor their counter move.
        counts = x.numel() > 0 if mask is None else mask.sum() > 1
        if momentum is None:
            momentum = 1.0 / (counter + counts).clamp(min=1).double()
    if momentum is None:
        momentum = 0.0
    real = None if mask is None else mask.unsqueeze(1)
    if real is not None:
        # Selected, not multiplied: padding may hold NaN, and 0 · NaN is NaN, in the gradient too.
        x = torch.where(real, x, 0)
    if training and real is not None:
        y = _masked_training(x, running_mean, running_var, weight, bias, momentum, eps, real)
    else:
        given = x
        x = _unambiguous(x)
        # The backward pass of torch's operator on the CPU takes a weight, and in evaluation running statistics, for
        # contiguous, whatever they are; and of lazily negated statistics training moves a copy.
        weight = None if weight is None else weight.contiguous()
        shift = _mean(x) if training else None
        # A compiled graph has no lazily negated buffers, and torch.compile can't ask for them.
        plain = torch.compiler.is_compiling() or all(
            running is None or (running.is_contiguous() and not running.is_neg())
            for running in (running_mean, running_var)
        )
        if not training and not plain and running_mean is not None and running_var is not None:
            running_mean, running_var = running_mean.contiguous(), running_var.contiguous()
        if training and not (plain and not isinstance(momentum, Tensor)):
            y = _training_apart(x, shift, running_mean, running_var, weight, bias, momentum, eps)
        elif shift is not None:
            # Output and gradients don't depend on the shift; the running mean sees it taken off, and put on again.
            flat = shift.flatten()
            moving = None if running_mean is None else running_mean.detach() - flat
            y = F.batch_norm(x - shift, moving, running_var, weight, bias, True, float(momentum), eps)
            if running_mean is not None and moving is not None:
                with torch.no_grad():
                    running_mean.copy_(moving + flat)
        else:
            y = F.batch_norm(x, running_mean, running_var, weight, bias, training, float(momentum), eps)
        if x.dim() != given.dim():
            if not x.is_contiguous() and x.transpose(1, 2).is_contiguous():
                # In the order in which torch's operator gives it.
                y = y.transpose(1, 2).clone(memory_format=torch.contiguous_format).transpose(1, 2)
            y = y.view(given.shape)
    if residual is not None:
        y = y + (residual if real is None else torch.where(real, residual, 0))
    if activation is not None:
        y = ACTIVATIONS[activation](y)
    if counter is not None and counts is not False:
        counter.add_(counts)
    return y if real is None else torch.where(real, y, 0)


def _unambiguous(x: Tensor) -> Tensor:
    """``x``, or a view ``(N, C, S)`` where torch's operator could take one memory order for another.

    An axis of size 1 may have any stride. With one in an image or a volume, on the CPU (torch 2.13), the backward pass
    may take a channels-last input or gradient for a contiguous one, and return wrong gradients without a word. Of three
    axes there is only one order.
    """
    if x.dim() in (4, 5) and x.is_cpu and x.layout is torch.strided and 1 in x.shape and 0 not in x.shape:
        return x.flatten(2)
    return x


def _mean(x: Tensor) -> Tensor | None:
    """The mean of each channel, but for rounding, where torch's operator would lose digits by it; else None."""
    if x.dtype is not torch.float32 or not x.is_cpu or int(x.numel()) == 0:
        return None
    mean = x.detach().mean((0, *range(2, x.dim())), keepdim=True)
    # Any finite number is right.
    return torch.nan_to_num(mean, nan=0.0, posinf=0.0, neginf=0.0)


def _training_apart(
    x: Tensor,
    shift: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float | Tensor,
    eps: float,
) -> Tensor:
    """Training where the running statistics are moved here, and not by torch's operator.

    It takes a number as momentum, and ``float(tensor)`` would stop a compiled graph and wait for the device. With a
    shift it sees the deviations from it, on which output and gradients don't depend.
    """
    # With momentum 1 the operator overwrites its buffers by the batch's statistics, and leaves them as
    # they are where the batch is empty.
    batch_mean, batch_var = (
        None if running is None else running.clone(memory_format=torch.contiguous_format)
        for running in (running_mean, running_var)
    )
    values = x if shift is None else x - shift
    y = F.batch_norm(values, batch_mean, batch_var, weight, bias, True, 1.0, eps)
    always = torch.ones((), dtype=torch.bool, device=x.device)
    if batch_mean is not None and batch_var is not None:
        move(running_mean, batch_mean if shift is None else batch_mean + shift.flatten(), momentum, always)
        move(running_var, batch_var, momentum, always)
    return y


def _masked_training(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float | Tensor,
    eps: float,
    real: Tensor,
) -> Tensor:
    dtype = torch.promote_types(x.dtype, torch.float32)
    axes = (0, *range(2, x.dim()))
    shape = (1, -1, *([1] * (x.dim() - 2)))
    count = real.sum()
    m = count.clamp(min=1).to(dtype)
    values = x.to(dtype)
    # Two passes around a shift that is the mean but for rounding. Neither mean nor variance depends on
    # the shift, so it is a constant to autograd; what it misses of the mean is added back.
    shift = values.detach().sum(axes, keepdim=True) / m
    shifted = torch.where(real, values - shift, 0)
    error = shifted.sum(axes, keepdim=True) / m
    centred = torch.where(real, shifted - error, 0)
    var = centred.square().sum(axes, keepdim=True) / m

    moved = count > 1
    bessel = m / (m - 1).clamp(min=1)
    move(running_mean, (shift + error).flatten(), momentum, moved)
    move(running_var, (var * bessel).flatten(), momentum, moved)

    # Divided, not multiplied by rsqrt, whose derivative is a third power: 1e13 cubed leaves float32's range.
    y = centred / torch.sqrt(var + eps)
    if weight is not None:
        y = y * weight.to(dtype).view(shape)
    if bias is not None:
        y = y + bias.to(dtype).view(shape)
    return y.to(x.dtype)


def move(running: Tensor | None, batch: Tensor, momentum: float | Tensor, moved: Tensor) -> None:
    """``running ← (1 - momentum) running + momentum batch`` where ``moved``, in float32 or better."""
    if running is None:
        return
    dtype = torch.promote_types(batch.dtype, torch.float32)
    weight = torch.as_tensor(momentum, dtype=dtype, device=batch.device)
    with torch.no_grad():
        target = running.to(dtype).lerp(batch.detach().to(dtype), weight)
        running.copy_(torch.where(moved, target, running))


def moments(x: Tensor, mask: Tensor | None) -> tuple[int, Tensor, Tensor]:
    """Elements a channel, and in float64 the mean and the sum of squared deviations, of ``(N, C, *)``."""
    # Metal has no float64.
    values = (x.cpu() if x.device.type == "mps" else x).double()
    by_channel = (
        values.transpose(0, 1).flatten(1) if mask is None else values.movedim(1, 0)[:, mask.to(values.device)]
    )
    count = by_channel.shape[1]
    if count == 0:
        zero = by_channel.new_zeros(by_channel.shape[0])
        return 0, zero, zero
    mean = by_channel.mean(1)
    return count, mean, (by_channel - mean[:, None]).square().sum(1)
