"""The compiled kernels under autograd: one node of the graph for normalization, residual and activation.

Written for small calls, too, where Python's own cost is most of the time: settings are a tuple, and saved statistics
a bytearray.
"""

from typing import Any

import torch
from torch import Tensor

from normwise.errors import ArgumentError
from normwise.kernels import native
from normwise.kernels.torch_operators import batch_norm as torch_batch_norm
from normwise.kernels.torch_operators import move


def batch_norm(
    shape: native.Shape,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    counter: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    activation: str | None,
    residual: Tensor | None,
    mask: Tensor | None,
    inplace: bool,
) -> Tensor:
    """The equation of :func:`normwise.functional.batch_norm`, for what the kernels cover; checked by the caller."""
    if mask is not None:
        mask = mask.contiguous()
    if residual is not None:
        residual = laid_out_as(x, residual)
    settings = shape, running_mean, running_var, counter, training, momentum, eps, activation, mask, inplace
    if torch.is_grad_enabled() and (
        x.requires_grad
        or (weight is not None and weight.requires_grad)
        or (bias is not None and bias.requires_grad)
        or (residual is not None and residual.requires_grad)
    ):
        return _apply(x, weight, bias, residual, settings)
    return _forward(x, weight, bias, residual, settings)[0]


def as_float(tensor: Tensor | None) -> Tensor | None:
    """The tensor in float32, which the kernels' parameters and statistics have."""
    return tensor if tensor is None or tensor.dtype is torch.float32 else tensor.float()


def laid_out_as(x: Tensor, other: Tensor) -> Tensor:
    """``other`` in the memory order of ``x``."""
    return other if other.stride() == x.stride() else torch.empty_like(x).copy_(other)


def _forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, residual: Tensor | None, settings: tuple[Any, ...]
) -> tuple[Tensor, bytearray]:
    shape, mean, var, counter, training, momentum, eps, activation, mask, inplace = settings
    if mean is None or mean.dtype is torch.float32:
        return native.forward(
            shape,
            x,
            as_float(weight),
            as_float(bias),
            mean,
            var,
            counter,
            training,
            momentum,
            eps,
            activation,
            residual,
            mask,
            out=x if inplace else None,
        )
    if not training:
        settings = (shape, mean.float(), var.float(), *settings[3:])
        return _forward(x, weight, bias, residual, settings)
    # Statistics in another type than the kernels' are moved here.
    batch = torch.zeros(2, shape[1], dtype=torch.float64)
    settings = (shape, None, None, *settings[3:])
    y, saved = native.forward(
        shape,
        x,
        as_float(weight),
        as_float(bias),
        None,
        None,
        counter,
        training,
        momentum,
        eps,
        activation,
        residual,
        mask,
        batch,
        out=x if inplace else None,
    )
    moved = mask.sum() > 1 if mask is not None else torch.tensor(shape[0] * shape[2] > 1)
    if momentum < 0 and counter is not None:
        momentum = 1.0 / max(int(counter), 1)
    move(mean, batch[0], momentum, moved)
    move(var, batch[1], momentum, moved)
    return y, saved


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        residual: Tensor | None,
        settings: tuple[Any, ...],
    ) -> Tensor:
        y, ctx.statistics = _forward(x, weight, bias, residual, settings)
        activation, mask, inplace = settings[7:]
        if inplace:
            ctx.mark_dirty(x)
        # What tells the activation's slope once a residual was added: a ReLU's output does, and lives anyway.
        third = None
        if residual is not None and activation is not None:
            third = y if activation == "relu" else residual
        ctx.save_for_backward(y if inplace else x, weight, bias, third, mask)
        ctx.settings = settings
        return y

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, bias, third, mask = ctx.saved_tensors
        shape, _, _, _, training, _, _, activation, _, inplace = ctx.settings
        if torch.is_grad_enabled():
            return _differentiable_backward(ctx, x, weight, bias, third, mask, grad_y)
        grad_x, grad_weight, grad_bias, grad_residual = native.backward(
            shape,
            x,
            as_float(weight),
            as_float(bias),
            ctx.statistics,
            third,
            laid_out_as(x, grad_y),
            mask,
            training,
            activation,
            from_output=inplace,
        )
        of_x, of_weight, of_bias, of_residual, _ = ctx.needs_input_grad
        if of_residual and grad_residual is None:
            grad_residual = _passed(grad_y, mask)
        return (
            grad_x if of_x else None,
            _as_type_of(weight, grad_weight) if of_weight else None,
            _as_type_of(bias, grad_bias) if of_bias else None,
            grad_residual if of_residual else None,
            None,
        )


#: Past ``Function.apply``, which asks whether a function transform is active: the caller has.
_apply: Any = super(torch.autograd.Function, _BatchNorm).apply  # pyright: ignore[reportAttributeAccessIssue]


def _as_type_of(parameter: Tensor, grad: Tensor) -> Tensor:
    return grad if parameter.dtype is torch.float32 else grad.to(parameter.dtype)


def _passed(grad_y: Tensor, mask: Tensor | None) -> Tensor:
    """The gradient of a residual without an activation behind it."""
    return grad_y if mask is None else torch.where(mask.unsqueeze(1), grad_y, 0)


def _differentiable_backward(
    ctx: Any,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    third: Tensor | None,
    mask: Tensor | None,
    grad_y: Tensor,
) -> tuple[Tensor | None, ...]:
    """The same gradients as functions of everything, for a second derivative: by torch's operators."""
    _, _, _, _, training, _, eps, activation, _, inplace = ctx.settings
    if inplace:
        raise ArgumentError(
            "a second derivative needs the input, which a layer with inplace=True has overwritten; build the layer "
            "with inplace=False"
        )
    mean = var = None
    if not training:
        # What the forward pass normalised with: the buffers may have moved since.
        saved = torch.frombuffer(ctx.statistics, dtype=torch.float64).view(2, -1)
        mean, var = saved[0].float(), (saved[1].pow(-2) - eps).float()
    residual = third
    if third is not None and activation == "relu":
        # Of the residual only the ReLU's output was kept, which says where the slope is 1.
        grad_y = torch.where(third <= 0, 0, grad_y)
        activation = residual = None
    y = torch_batch_norm(
        x, mean, var, as_float(weight), as_float(bias), training, 0.0, eps, activation, residual, mask
    )
    inputs = list(zip((x, weight, bias, residual), ctx.needs_input_grad, strict=False))
    sources = [tensor for tensor, needed in inputs if needed and tensor is not None]
    found = iter(torch.autograd.grad(y, sources, grad_y, create_graph=True))
    gradients = [next(found) if needed and tensor is not None else None for tensor, needed in inputs]
    if ctx.needs_input_grad[3] and gradients[3] is None:
        gradients[3] = _passed(grad_y, mask)
    return (*gradients, None)
