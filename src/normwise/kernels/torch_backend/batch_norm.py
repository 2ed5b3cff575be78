"""One call of batch normalization on torch's own operators.

On a CPU, torch's operator loses digits (and with the channels last the variance) if a float32 mean is many
deviations from 0. Then it gets the deviations from the mean, which costs one or two further passes.
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
    """Return the output of a call, and update its running statistics and counter in training."""
    if call.training and call.mask is not None:
        return _masked_training(call)
    given = call.x
    # Select, don't multiply: padding may hold NaN, and 0 · NaN is NaN, also in the gradient.
    x = given if call.mask is None else torch.where(call.mask.unsqueeze(1), given, 0)
    counter = call.counter if call.training else None
    # A batch without statistics changes neither the buffers nor their counter.
    counts = x.numel() > 0
    momentum = call.momentum
    if momentum is None:
        momentum = 0.0 if counter is None else 1.0 / (counter + counts).clamp(min=1).double()
    x = _unambiguous(x)
    y = _by_operator(call, x, momentum)
    if x.dim() != given.dim():
        if not x.is_contiguous() and x.transpose(1, 2).is_contiguous():
            # In the memory format of torch's operator.
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
        # In evaluation the batch may be empty, which the function in Python refuses before torch 2.13.
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
    """Return ``x``, or a view ``(N, C, S)`` if torch's operator could mistake its memory format.

    An axis of size 1 may have any stride. With one in an image or a volume, on the CPU (torch 2.13), the backward
    pass may take a channels-last input or gradient for a contiguous one, and silently return wrong gradients. Three
    axes have only one memory format.
    """
    if x.dim() in (4, 5) and x.is_cpu and x.layout is torch.strided and 1 in x.shape and 0 not in x.shape:
        return x.flatten(2)
    return x


def _shift(x: Tensor) -> Tensor | None:
    """Return the approximate mean of each channel if torch's operator would lose digits by it; else None."""
    if x.dtype is not torch.float32 or not x.is_cpu or int(x.numel()) == 0:
        return None
    mean = x.detach().mean((0, *range(2, x.dim())), keepdim=True)
    # Any finite number is correct.
    return torch.nan_to_num(mean, nan=0.0, posinf=0.0, neginf=0.0)


def _with_statistics_moved_here(
    call: Call, x: Tensor, weight: Tensor | None, shift: Tensor | None, momentum: float | Tensor
) -> Tensor:
    """Return the same as :func:`_by_operator` in training, and update the running statistics without torch's operator.

    That takes only a number as momentum, and ``float(tensor)`` would break a compiled graph and wait for the
    device. With a shift, the operator gets the deviations from it; output and gradients do not depend on it.
    """
    mean, var = call.running_mean, call.running_var
    # With momentum 1 the operator overwrites its buffers with the batch's statistics, or leaves them if the
    # batch is empty.
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
