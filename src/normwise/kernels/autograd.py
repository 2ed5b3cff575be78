"""Autograd rule of compiled backends: one node of the graph for normalization, residual and activation."""

from typing import Any

import torch
from torch import Tensor

from normwise.errors import AutogradError
from normwise.kernels.backend import Backend
from normwise.kernels.backward_call import BackwardCall
from normwise.kernels.call import Call
from normwise.kernels.eager import is_eager
from normwise.kernels.gradient_rules import parameter_gradient, residual_gradient, slope_source
from normwise.kernels.torch_backend.gradients import check_saved, gradients_by_torch


def batch_norm(backend: Backend, call: Call) -> Tensor:
    """Return the output of a call that the backend covers, with a gradient if needed."""
    x, weight, bias, residual = call.x, call.weight, call.bias, call.residual
    differentiates = torch.is_grad_enabled() and (
        x.requires_grad
        or (weight is not None and weight.requires_grad)
        or (bias is not None and bias.requires_grad)
        or (residual is not None and residual.requires_grad)
    )
    if call.inplace:
        _check_overwriting(x, differentiates)
    if differentiates:
        return _apply(x, weight, bias, residual, call, backend)
    y, _ = backend.forward(call)
    if call.inplace:
        # Mark the input as modified for operations that saved it, as torch's in-place operators do.
        torch.autograd.graph.increment_version(x)
    return y


def _check_overwriting(x: Tensor, differentiates: bool) -> None:
    """Raise autograd's errors for in-place operations, before anything is overwritten."""
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


class _BatchNorm(torch.autograd.Function):
    """Autograd function; differentiated tensors are separate arguments, as autograd requires."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        residual: Tensor | None,
        call: Call,
        backend: Backend,
    ) -> Tensor:
        y, saved = backend.forward(call)
        activation, inplace = call.activation, call.inplace
        if inplace:
            ctx.mark_dirty(x)
        source = None if residual is None else slope_source(residual, activation, y)
        ctx.save_for_backward(y if inplace else x, weight, bias, source, call.mask)
        # Not the call itself: it would keep the input alive, whatever hooks on saved tensors do with it. One
        # attribute, since attributes of autograd's context are slow.
        ctx.kept = backend, saved, call.training, call.eps, activation, inplace, call.parts
        return y

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, bias, source, mask = ctx.saved_tensors
        backend, saved, training, eps, activation, from_output, parts = ctx.kept
        call = BackwardCall(
            x, weight, bias, saved, source, grad_y, mask, training, activation, from_output, parts
        )
        # Hooks on saved tensors may return them in another memory format, or other tensors, than in the
        # forward pass. Autograd ensures that the gradient has the output's shape and dtype.
        if (
            torch.is_grad_enabled()
            or not is_eager(x, weight, bias, source, mask, grad_y)
            or not backend.covers_backward(call)
        ):
            check_saved(call)
            statistics = backend.statistics(saved)
            return (*gradients_by_torch(call, statistics, eps, ctx.needs_input_grad[:4]), None, None)
        grad_x, grad_weight, grad_bias, grad_residual = backend.backward(call)
        of_x, of_weight, of_bias, of_residual, _, _ = ctx.needs_input_grad
        if of_residual and grad_residual is None:
            grad_residual = residual_gradient(grad_y, mask)
        return (
            grad_x if of_x else None,
            parameter_gradient(weight, grad_weight) if of_weight else None,
            parameter_gradient(bias, grad_bias) if of_bias else None,
            grad_residual if of_residual else None,
            None,
            None,
        )


#: Bypasses ``Function.apply``, which checks for function transforms: the caller has done so.
_apply: Any = super(torch.autograd.Function, _BatchNorm).apply  # pyright: ignore[reportAttributeAccessIssue]
