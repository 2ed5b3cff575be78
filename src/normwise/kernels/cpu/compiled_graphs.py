"""The compiled kernels as operators of torch, ``normwise::``, for graphs that torch.compile and torch.export trace."""

from typing import Any

import torch
from torch import Tensor

from normwise.errors import ArgumentError
from normwise.kernels.cpu import library as native
from normwise.kernels.cpu.autograd import as_float
from normwise.kernels.cpu.coverage import Covered, covered, laid_out_as
from normwise.kernels.torch_backend import move

_FORWARD = (
    "batch_norm(Tensor x, Tensor? weight, Tensor? bias, Tensor? residual, Tensor? mask, float eps, "
    "str? activation) -> (Tensor, Tensor, Tensor, Tensor)"
)
_BACKWARD = (
    "batch_norm_backward(Tensor x, Tensor? weight, Tensor? bias, Tensor saved, Tensor? third, Tensor grad_y, "
    "Tensor? mask, str? activation) -> (Tensor, Tensor, Tensor, Tensor)"
)
#: Kept for the life of the process: an operator goes with its library.
_library = torch.library.Library("normwise", "DEF")
_library.define(_FORWARD, tags=(torch.Tag.pt2_compliant_tag,))
_library.define(_BACKWARD, tags=(torch.Tag.pt2_compliant_tag,))


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float | Tensor | None,
    eps: float,
    activation: str | None,
    residual: Tensor | None,
    mask: Tensor | None,
    counter: Tensor | None,
) -> Tensor:
    """Training, traced: the operator computes, and the running statistics move beside it."""
    y, _, batch, count = torch.ops.normwise.batch_norm(x, weight, bias, residual, mask, eps, activation)
    moved = count > 1
    if counter is not None:
        counter.add_(moved)
        if momentum is None:
            momentum = 1.0 / counter.clamp(min=1).double()
    if momentum is not None:
        move(running_mean, batch[0], momentum, moved)
        move(running_var, batch[1], momentum, moved)
    return y


def _taken(
    x: Tensor,
    per_channel: tuple[Tensor | None, ...],
    per_element: tuple[Tensor | None, ...],
    mask: Tensor | None,
) -> Covered:
    """The tensors of a call as the kernels take them; a graph that was traced has checked its own.

    Raises:
        ArgumentError: tensors that don't go together.
    """
    call = covered(x, per_channel, per_element, mask, reorders=True)
    if call is None:
        others = ", ".join(
            "None" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}"
            for tensor in (*per_channel, *per_element, mask)
        )
        raise ArgumentError(
            f"normwise::batch_norm got an input {x.dtype} {tuple(x.shape)} with {others}; expected float32 or bfloat16 "
            "(N, C, *), others of the shape (C,) or of the input's shape and type, and a boolean mask (N, *), all "
            "dense and on the CPU, in memory of their own"
        )
    return call


def _forward(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    mask: Tensor | None,
    eps: float,
    activation: str | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    batch = torch.zeros(2, x.shape[1], dtype=torch.float64)
    if x.numel() == 0:
        return torch.empty_like(x), torch.zeros_like(batch), batch, torch.tensor(0)
    call = _taken(x, (weight, bias), (residual,), mask)
    y, saved = native.forward(
        call.shape,
        call.x,
        as_float(weight),
        as_float(bias),
        None,
        None,
        None,
        True,
        0.0,
        eps,
        activation,
        call.per_element[0],
        call.mask,
        batch,
    )
    count = torch.tensor(x.numel() // x.shape[1]) if mask is None else mask.sum()
    statistics = torch.frombuffer(saved, dtype=torch.float64).view(2, -1)
    return laid_out_as(torch.empty_like(x), y), statistics, batch, count


def _backward(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    saved: Tensor,
    third: Tensor | None,
    grad_y: Tensor,
    mask: Tensor | None,
    activation: str | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    like = torch.empty_like(x)
    if x.numel() == 0:
        zero = torch.zeros(x.shape[1], dtype=torch.float32)
        return like, zero, torch.zeros_like(zero), x.new_empty(0) if third is None else torch.empty_like(x)
    call = _taken(x, (weight, bias), (third, grad_y), mask)
    expected = (2, x.shape[1])
    if saved.shape != expected or saved.dtype is not torch.float64 or not saved.is_contiguous():
        raise ArgumentError(
            f"normwise::batch_norm_backward got statistics {saved.dtype} {tuple(saved.shape)}; expected those that the "
            f"forward pass gave, float64 {expected}"
        )
    third, grad_laid_out = call.per_element
    assert grad_laid_out is not None  # noqa: S101 (it was given)
    grad_x, grad_weight, grad_bias, grad_residual = native.backward(
        call.shape,
        call.x,
        as_float(weight),
        as_float(bias),
        saved.data_ptr(),
        third,
        grad_laid_out,
        call.mask,
        True,
        activation,
    )
    grad_residual = like.new_empty(0) if grad_residual is None else laid_out_as(like, grad_residual)
    return laid_out_as(like, grad_x), grad_weight, grad_bias, grad_residual


def _forward_shapes(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    statistics = x.new_empty((2, x.shape[1]), dtype=torch.float64)
    return torch.empty_like(x), statistics, torch.empty_like(statistics), x.new_empty((), dtype=torch.int64)


def _backward_shapes(
    x: Tensor, weight: Any, bias: Any, saved: Any, third: Tensor | None, *_: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    parameter = x.new_empty((x.shape[1],), dtype=torch.float32)
    grad_residual = x.new_empty(0) if third is None else torch.empty_like(x)
    return torch.empty_like(x), parameter, torch.empty_like(parameter), grad_residual


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, weight, bias, residual, mask, _, activation = inputs
    y, saved, batch, count = output
    ctx.mark_non_differentiable(saved, batch, count)
    third = None
    if residual is not None and activation is not None:
        third = y if activation == "relu" else residual
    ctx.save_for_backward(x, weight, bias, saved, third, mask)
    ctx.activation, ctx.added = activation, residual is not None


def _differentiate(ctx: Any, grad_y: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    x, weight, bias, saved, third, mask = ctx.saved_tensors
    grad_x, grad_weight, grad_bias, grad_residual = torch.ops.normwise.batch_norm_backward(
        x, weight, bias, saved, third, grad_y, mask, ctx.activation
    )
    if ctx.added and third is None:
        grad_residual = grad_y if mask is None else torch.where(mask.unsqueeze(1), grad_y, 0)
    return (
        grad_x,
        None if weight is None else grad_weight.to(weight.dtype),
        None if bias is None else grad_bias.to(bias.dtype),
        grad_residual if ctx.added else None,
        None,
        None,
        None,
    )


_library.impl("batch_norm", _forward, "CPU")
_library.impl("batch_norm_backward", _backward, "CPU")
torch.library.register_fake("normwise::batch_norm", _forward_shapes, lib=_library)
torch.library.register_fake("normwise::batch_norm_backward", _backward_shapes, lib=_library)
torch.library.register_autograd("normwise::batch_norm", _differentiate, setup_context=_keep, lib=_library)
