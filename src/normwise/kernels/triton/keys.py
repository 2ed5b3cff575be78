"""All that a plan depends on: calls with the same key are computed by the same compiled kernels."""

from typing import NamedTuple

import torch
from torch import Tensor

from normwise.activations import ACTIVATIONS
from normwise.kernels.backward_call import BackwardCall
from normwise.kernels.call import Call
from normwise.kernels.coverage import Layout

#: What tells the slope behind a residual: nothing, the residual, the output.
NO_SOURCE, RESIDUAL, OUTPUT = 0, 1, 2


class ForwardKey(NamedTuple):
    """All that a plan of the forward pass depends on; types are None where there is no tensor.

    ``unaligned`` says of input, residual and mask whether they begin in the middle of 16 bytes.
    """

    layout: Layout
    dtype: torch.dtype
    weight: torch.dtype | None
    bias: torch.dtype | None
    running: torch.dtype | None
    training: bool
    average: bool
    activation: str | None
    added: bool
    masked: bool
    counted: bool
    unaligned: tuple[bool, bool, bool]
    device: int
    multiprocessors: int


class BackwardKey(NamedTuple):
    """All that a plan of the backward pass depends on.

    ``unaligned`` is that of input, slope source, gradient and mask.
    """

    layout: Layout
    dtype: torch.dtype
    weight: torch.dtype | None
    bias: torch.dtype | None
    training: bool
    activation: str | None
    source: int
    from_output: bool
    masked: bool
    unaligned: tuple[bool, bool, bool, bool]
    device: int
    multiprocessors: int


def forward_key(call: Call, device: int, multiprocessors: int) -> ForwardKey:
    """Return the key of a call, whose layout is known."""
    x, residual, training = call.x, call.residual, call.training
    counted = training and call.counter is not None
    # Without a momentum and a counter the statistics stay.
    moves = call.momentum is not None or counted or not training
    return ForwardKey(
        call.layout,
        x.dtype,
        _dtype(call.weight),
        _dtype(call.bias),
        _dtype(call.running_mean) if moves else None,
        training,
        counted and call.momentum is None and call.running_mean is not None,
        call.activation,
        residual is not None,
        call.mask is not None,
        counted,
        (_is_unaligned(x), _is_unaligned(residual), _is_unaligned(call.mask)),
        device,
        multiprocessors,
    )


def backward_key(call: BackwardCall, device: int, multiprocessors: int) -> BackwardKey:
    """Return the key of a backward pass, whose layout is known."""
    x, source = call.x, call.slope_source
    kind = NO_SOURCE
    if source is not None:
        kind = OUTPUT if ACTIVATIONS[call.activation or ""].slope_from_output else RESIDUAL
    return BackwardKey(
        call.layout,
        x.dtype,
        _dtype(call.weight),
        _dtype(call.bias),
        call.training,
        call.activation,
        kind,
        call.from_output,
        call.mask is not None,
        (_is_unaligned(x), _is_unaligned(source), _is_unaligned(call.grad_y), _is_unaligned(call.mask)),
        device,
        multiprocessors,
    )


def _dtype(tensor: Tensor | None) -> torch.dtype | None:
    return None if tensor is None else tensor.dtype


def _is_unaligned(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.data_ptr() % 16 != 0
