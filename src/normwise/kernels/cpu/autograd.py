"""The compiled kernels under autograd: one node of the graph for normalization, residual and activation.

Written for small calls, too, where Python's own cost is most of the time: settings are a tuple, and saved statistics
a bytearray.
"""

from typing import Any

import torch
from torch import Tensor

from normwise.errors import ArgumentError, AutogradError
from normwise.kernels.cpu import library as native
from normwise.kernels.cpu.coverage import check_memory, covered, is_eager
from normwise.kernels.torch_backend import batch_norm as torch_batch_norm
from normwise.kernels.torch_backend import move


def batch_norm(
    shape: native.Shape,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    counter: Tensor | None,
    training: bool,
    momentum: float | None,
    eps: float,
    activation: str | None,
    residual: Tensor | None,
    mask: Tensor | None,
    inplace: bool,
) -> Tensor:
    """The equation of :func:`normwise.functional.batch_norm`, for what the kernels cover; checked by the caller.

    ``residual`` is laid out as ``x``, and ``mask`` contiguous.
    """
    settings = shape, running_mean, running_var, counter, training, momentum, eps, activation, mask, inplace
    differentiates = torch.is_grad_enabled() and (
        x.requires_grad
        or (weight is not None and weight.requires_grad)
        or (bias is not None and bias.requires_grad)
        or (residual is not None and residual.requires_grad)
    )
    if inplace:
        _check_overwriting(x, differentiates)
    if differentiates:
        return _apply(x, weight, bias, residual, settings)
    y = _forward(x, weight, bias, residual, settings)[0]
    if inplace:
        # Whoever has kept the input for a gradient is told so, as by any operator of torch that works in place.
        torch.autograd.graph.increment_version(x)
    return y


def as_float(tensor: Tensor | None) -> Tensor | None:
    """The tensor in float32, which the kernels' parameters and statistics have."""
    return tensor if tensor is None or tensor.dtype is torch.float32 else tensor.float()


def _check_overwriting(x: Tensor, differentiates: bool) -> None:
    """Raise what autograd would say of an operation in place, before anything is overwritten."""
    reason = ""
    if x.is_inference() and not torch.is_inference_mode_enabled():
        reason = "it was made in inference mode, and is not to be changed outside"
    elif differentiates:
        if x.is_leaf and x.requires_grad:
            reason = "it is a leaf that requires a gradient"
        elif x._is_view():
            base = x._base
            if base is not None and base.is_leaf and base.requires_grad:
                reason = "it is a view of a leaf that requires a gradient"
            elif torch._C._autograd._get_creation_meta(x) != torch._C._autograd.CreationMeta.DEFAULT:  # pyright: ignore[reportAttributeAccessIssue]
                reason = (
                    "it is a view that autograd can't follow: one of several, as chunk() and unbind() give, or made "
                    "under no_grad() or inference_mode()"
                )
    if reason:
        raise AutogradError(
            f"inplace=True can't overwrite this input, because {reason}. Pass a copy (x.clone()), or use inplace=False"
        )


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
    y, saved = native.forward(
        shape,
        x,
        as_float(weight),
        as_float(bias),
        None,
        None,
        counter,
        training,
        0.0,
        eps,
        activation,
        residual,
        mask,
        batch,
        out=x if inplace else None,
    )
    moved = mask.sum() > 1 if mask is not None else torch.tensor(shape[0] * shape[2] > 1)
    if momentum is None:
        momentum = 0.0 if counter is None else 1.0 / max(int(counter), 1)
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
        ctx.dtype = x.dtype
        return y

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, bias, third, mask = ctx.saved_tensors
        call = None
        if not torch.is_grad_enabled() and is_eager((x, weight, bias, third, mask, grad_y)):
            # Hooks on saved tensors may have given them back in another order than they had.
            call = covered(x, (weight, bias), (third, grad_y), mask, reorders=True)
        # What is covered fits together; it must also be what the forward pass saw.
        if call is None or x.dtype is not ctx.dtype or call.shape[:3] != ctx.settings[0][:3]:
            _check_saved(ctx, x, weight, bias, third, mask, grad_y)
            return _by_torch(ctx, x, weight, bias, third, mask, grad_y)
        _, _, _, _, training, _, _, activation, _, inplace = ctx.settings
        third_laid_out, grad_laid_out = call.per_element
        assert grad_laid_out is not None  # noqa: S101 (it was given)
        grad_x, grad_weight, grad_bias, grad_residual = native.backward(
            call.shape,
            call.x,
            as_float(weight),
            as_float(bias),
            ctx.statistics,
            third_laid_out,
            grad_laid_out,
            call.mask,
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


def _check_saved(
    ctx: Any,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    third: Tensor | None,
    mask: Tensor | None,
    grad_y: Tensor,
) -> None:
    """Raise AutogradError unless what comes back from the forward pass has its types and shapes.

    Hooks on saved tensors may have changed them; the order in memory may be another.
    """
    dtype, shape = ctx.dtype, grad_y.shape
    channels = (ctx.settings[0][1],)
    if (
        x.dtype is dtype
        and grad_y.dtype is dtype
        and x.shape == shape
        and (weight is None or (weight.shape == channels and _is_parameter_of(dtype, weight)))
        and (bias is None or (bias.shape == channels and _is_parameter_of(dtype, bias)))
        and (third is None or (third.dtype is dtype and third.shape == shape))
        and (mask is None or (mask.dtype is torch.bool and mask.shape == (shape[0], *shape[2:])))
    ):
        return
    for name, tensor, expected in (
        ("the saved input", x, tuple(shape)),
        ("the gradient of the output", grad_y, tuple(shape)),
        ("the saved weight", weight, channels),
        ("the saved bias", bias, channels),
        ("the saved residual or output", third, tuple(shape)),
        ("the saved mask", mask, (shape[0], *shape[2:])),
    ):
        if tensor is None:
            continue
        kind = torch.bool if tensor is mask else dtype
        fits = tensor.dtype is kind or (tensor.shape == channels and tensor.dtype is torch.float32)
        if not fits or tuple(tensor.shape) != expected:
            raise AutogradError(
                f"batch normalization, backward: {name} has the type {tensor.dtype} and the shape "
                f"{tuple(tensor.shape)}, expected {kind} and {expected}, as in the forward pass; see the hooks on "
                "saved tensors (torch.autograd.graph.saved_tensors_hooks)"
            )


def _is_parameter_of(dtype: torch.dtype, tensor: Tensor) -> bool:
    return tensor.dtype is torch.float32 or tensor.dtype is dtype


def _as_type_of(parameter: Tensor, grad: Tensor) -> Tensor:
    return grad if parameter.dtype is torch.float32 else grad.to(parameter.dtype)


def _passed(grad_y: Tensor, mask: Tensor | None) -> Tensor:
    """The gradient of a residual without an activation behind it."""
    return grad_y if mask is None else torch.where(mask.unsqueeze(1), grad_y, 0)


def _by_torch(
    ctx: Any,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    third: Tensor | None,
    mask: Tensor | None,
    grad_y: Tensor,
) -> tuple[Tensor | None, ...]:
    """The same gradients by torch's operators: for a second derivative functions of everything."""
    check_memory(x, weight, bias, third, mask, grad_y)
    _, _, _, _, training, _, eps, activation, _, inplace = ctx.settings
    twice = torch.is_grad_enabled()
    if inplace and twice:
        raise ArgumentError(
            "a second derivative needs the input, which a layer with inplace=True has overwritten; build the layer "
            "with inplace=False"
        )
    mean = var = None
    if not training or inplace:
        # What the forward pass normalised with: the buffers may have moved since.
        saved = torch.frombuffer(ctx.statistics, dtype=torch.float64).view(2, -1)
        mean, var = saved[0].float(), (saved[1].pow(-2) - eps).float()
        if inplace:
            x = _input_of(x, saved, weight, bias, activation)
        if training:
            mean = var = None
    residual = third
    if third is not None and activation == "relu":
        # Of the residual only the ReLU's output was kept, which says where the slope is 1.
        grad_y = torch.where(third <= 0, 0, grad_y)
        activation = residual = None
    inputs: list[Tensor | None] = [x, weight, bias, residual]
    needed = [
        need and tensor is not None for need, tensor in zip(ctx.needs_input_grad[:4], inputs, strict=True)
    ]
    if not twice:
        inputs = [
            tensor.detach().requires_grad_() if need and tensor is not None else tensor
            for need, tensor in zip(needed, inputs, strict=True)
        ]
    with torch.enable_grad():
        given, gamma, beta, added = inputs
        assert given is not None  # noqa: S101 (the input is never absent)
        y = torch_batch_norm(
            given, mean, var, as_float(gamma), as_float(beta), training, 0.0, eps, activation, added, mask
        )
    sources = [tensor for tensor, need in zip(inputs, needed, strict=True) if need and tensor is not None]
    found = iter(torch.autograd.grad(y, sources, grad_y, create_graph=twice) if sources else ())
    gradients = [next(found) if need else None for need in needed]
    if ctx.needs_input_grad[3] and gradients[3] is None:
        gradients[3] = _passed(grad_y, mask)
    return (*gradients, None)


def _input_of(
    y: Tensor, saved: Tensor, weight: Tensor | None, bias: Tensor | None, activation: str | None
) -> Tensor:
    """The input, told from the output that took its place, ``saved`` being the mean and 1 / deviation."""
    shape = (1, -1, *([1] * (y.dim() - 2)))
    z = y.double() if activation is None else torch.where(y > 0, y, y * 100).double()
    if bias is not None:
        z = z - bias.detach().double().view(shape)
    if weight is not None:
        z = z / weight.detach().double().view(shape)
    return (z / saved[1].view(shape) + saved[0].view(shape)).to(y.dtype)
