"""One call of batch normalization on torch's own operators.

torch's operator alone loses digits, and with the channels last the variance, where the mean of float32 on a CPU is many
deviations. There it gets the deviations from the mean, which costs another pass or two.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from normwise.kernels.call import Call
from normwise.kernels.torch_backend.primitives import (
    add_and_activate,
    moments,
    move,
    normalise,
    update_running,
)


def batch_norm(call: Call) -> Tensor:
    """Return the output of a call, and move its running statistics and counter in training."""
    if call.training and call.mask is not None:
        return _masked_training(call)
    given = call.x
    # Selected, not multiplied: padding may hold NaN, and 0 · NaN is NaN, in the gradient too.
    x = given if call.mask is None else torch.where(call.mask.unsqueeze(1), given, 0)
    counter = call.counter if call.training else None
    # A batch without statistics is none: neither the buffers nor their counter move.
    counts = x.numel() > 0
    momentum = call.momentum
    if momentum is None:
        momentum = 0.0 if counter is None else 1.0 / (counter + counts).clamp(min=1).double()
    x = _unambiguous(x)
    y = _by_operator(call, x, momentum)
    if x.dim() != given.dim():
        if not x.is_contiguous() and x.transpose(1, 2).is_contiguous():
            # In the order in which torch's operator gives it.
            y = y.transpose(1, 2).clone(memory_format=torch.contiguous_format).transpose(1, 2)
        y = y.view(given.shape)
    y = add_and_activate(y, call.activation, call.residual, call.mask)
    if counter is not None and counts:
        counter.add_(1)
    return y


def _masked_training(call: Call) -> Tensor:
    count, mean, variance = moments(call.x, call.mask)
    y = normalise(
        call.x,
        mean,
        torch.rsqrt(variance + call.eps),
        call.weight,
        call.bias,
        activation=call.activation,
        residual=call.residual,
        mask=call.mask,
    )
    update_running(call.running_mean, call.running_var, mean, variance, count, call.momentum, call.counter)
    return y


def _by_operator(call: Call, x: Tensor, momentum: float | Tensor) -> Tensor:
    """Return ``x`` normalised, scaled and shifted by torch's own operator."""
    training, mean, var, bias, eps = call.training, call.running_mean, call.running_var, call.bias, call.eps
    # The backward pass of torch's operator on the CPU takes a weight, and in evaluation running statistics, for
    # contiguous, whatever they are; and of lazily negated statistics training moves a copy.
    weight = None if call.weight is None else call.weight.contiguous()
    shift = _shift(x) if training else None
    # A compiled graph has no lazily negated buffers, and torch.compile can't ask for them.
    plain = torch.compiler.is_compiling() or all(
        running is None or (running.is_contiguous() and not running.is_neg()) for running in (mean, var)
    )
    if not training and not plain and mean is not None and var is not None:
        mean, var = mean.contiguous(), var.contiguous()
    if training and not (plain and not isinstance(momentum, Tensor)):
        return _with_statistics_moved_here(call, x, weight, shift, momentum)
    if eps == 0:
        # In evaluation there may be none, which the function in Python refuses before torch 2.13.
        return torch.batch_norm(
            x, weight, bias, mean, var, training, float(momentum), eps, torch.backends.cudnn.enabled
        )
    if shift is None:
        return F.batch_norm(x, mean, var, weight, bias, training, float(momentum), eps)
    # Output and gradients don't depend on the shift; the running mean sees it taken off, and put on again.
    flat = shift.flatten()
    moving = None if mean is None else mean.detach() - flat
    y = F.batch_norm(x - shift, moving, var, weight, bias, True, float(momentum), eps)
    if mean is not None and moving is not None:
        with torch.no_grad():
            mean.copy_(moving + flat)
    return y


def _unambiguous(x: Tensor) -> Tensor:
    """``x``, or a view ``(N, C, S)`` where torch's operator could take one memory order for another.

    An axis of size 1 may have any stride. With one in an image or a volume, on the CPU (torch 2.13), the backward pass
    may take a channels-last input or gradient for a contiguous one, and return wrong gradients without a word. Of three
    axes there is only one order.
    """
    if x.dim() in (4, 5) and x.is_cpu and x.layout is torch.strided and 1 in x.shape and 0 not in x.shape:
        return x.flatten(2)
    return x


def _shift(x: Tensor) -> Tensor | None:
    """Return the mean of each channel, but for rounding, where torch's operator would lose digits by it; else None."""
    if x.dtype is not torch.float32 or not x.is_cpu or int(x.numel()) == 0:
        return None
    mean = x.detach().mean((0, *range(2, x.dim())), keepdim=True)
    # Any finite number is right.
    return torch.nan_to_num(mean, nan=0.0, posinf=0.0, neginf=0.0)


def _with_statistics_moved_here(
    call: Call, x: Tensor, weight: Tensor | None, shift: Tensor | None, momentum: float | Tensor
) -> Tensor:
    """Return what :func:`_by_operator` does in training, and move the running statistics without torch's operator.

    It takes a number as momentum, and ``float(tensor)`` would stop a compiled graph and wait for the device. With a
    shift it sees the deviations from it, on which output and gradients don't depend.
    """
    mean, var = call.running_mean, call.running_var
    # With momentum 1 the operator overwrites its buffers by the batch's statistics, and leaves them as
    # they are where the batch is empty.
    batch_mean, batch_var = (
        None if running is None else running.clone(memory_format=torch.contiguous_format)
        for running in (mean, var)
    )
    values = x if shift is None else x - shift
    y = F.batch_norm(values, batch_mean, batch_var, weight, call.bias, True, 1.0, call.eps)
    always = torch.ones((), dtype=torch.bool, device=x.device)
    if batch_mean is not None and batch_var is not None:
        move(mean, batch_mean if shift is None else batch_mean + shift.flatten(), momentum, always)
        move(var, batch_var, momentum, always)
    return y
