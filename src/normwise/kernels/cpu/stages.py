"""Halves of the compiled module's passes, between which moments, or their gradients, may be merged with others'."""

from dataclasses import replace

import torch
from torch import Tensor

from normwise.errors import ArgumentError
from normwise.kernels.backward_call import BackwardCall, MomentsGradient
from normwise.kernels.call import Call
from normwise.kernels.cpu.library import NUMBERS, as_float, loaded

_BFLOAT = torch.bfloat16


def normalise(call: Call, count: int, moments: Tensor) -> tuple[Tensor, bytearray]:
    """Return the output of a covered training call with given moments, and the saved statistics.

    Running statistics, which are float32, and the counter are updated as by a batch with these moments.
    """
    moments = _two_rows("moments", call.layout[1], moments)
    out, bfloat16 = torch.empty_like(call.x), call.x.dtype is _BFLOAT
    if bfloat16:
        call = replace(call, weight=as_float(call.weight), bias=as_float(call.bias))
    threads = torch.get_num_threads()
    saved = loaded().normalise(call, bfloat16, threads, NUMBERS[call.activation], out, count, moments)
    return out, saved


def moments_gradient(call: BackwardCall) -> MomentsGradient:
    """Return the gradients of moments, parameters and residual of a covered backward pass."""
    x, bfloat16 = call.x, call.x.dtype is _BFLOAT
    channels = call.layout[1]
    # Not torch.empty, which uses torch's default device.
    grad_moments = x.new_empty(2, channels, dtype=torch.float64)
    parameters = x.new_empty(2, channels, dtype=torch.float32)
    grad_residual = None if call.slope_source is None else torch.empty_like(x)
    if bfloat16:
        call = replace(call, weight=as_float(call.weight), bias=as_float(call.bias))
    grad_weight, grad_bias = parameters.unbind()
    loaded().moments_gradient(
        call,
        bfloat16,
        torch.get_num_threads(),
        NUMBERS[call.activation],
        grad_residual,
        grad_weight,
        grad_bias,
        grad_moments,
    )
    return MomentsGradient(grad_moments, grad_weight, grad_bias, grad_residual)


def input_gradient(
    call: BackwardCall, count: int, grad_moments: Tensor, grad_residual: Tensor | None
) -> Tensor:
    """Return the gradient of the input, from the gradients of moments over ``count`` positions.

    ``grad_residual`` is the result of :func:`moments_gradient`; its padding is filled in.
    """
    x, bfloat16 = call.x, call.x.dtype is _BFLOAT
    grad_moments = _two_rows("gradients of moments", call.layout[1], grad_moments)
    grad_x = torch.empty_like(x)
    if bfloat16:
        call = replace(call, weight=as_float(call.weight), bias=as_float(call.bias))
    loaded().input_gradient(
        call,
        bfloat16,
        torch.get_num_threads(),
        NUMBERS[call.activation],
        grad_x,
        grad_residual,
        count,
        grad_moments,
    )
    return grad_x


def _two_rows(what: str, channels: int, given: Tensor) -> Tensor:
    """Return a contiguous float64 tensor ``(2, C)`` on the CPU, or raise ArgumentError."""
    if given.dtype is not torch.float64 or given.shape != (2, channels) or not given.is_cpu:
        raise ArgumentError(
            f"expected {what} in float64, of the shape {(2, channels)} and on the CPU, got {given.dtype}, "
            f"{tuple(given.shape)} and {given.device}; give one row of means and one of variances"
        )
    return given.detach().contiguous()
