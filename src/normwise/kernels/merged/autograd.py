"""Autograd rule of calls whose moments are merged with others, for backends that compute passes in halves."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from normwise.kernels.backend import StagedBackend
from normwise.kernels.backward_call import BackwardCall
from normwise.kernels.call import Call, one_value
from normwise.kernels.eager import is_eager
from normwise.kernels.gradient_rules import parameter_gradient, residual_gradient, slope_source
from normwise.kernels.merged import on_torch
from normwise.kernels.merged.merger import Merger
from normwise.kernels.torch_backend.gradients import check_saved, gradients_by_torch
from normwise.kernels.torch_backend.primitives import ChannelMoments


def merged_batch_norm(backend: StagedBackend, call: Call, merger: Merger) -> Tensor:
    """Return the output of a call that the backend covers, with a gradient if needed."""
    if call.inplace:
        # The output may overwrite the input, but does not have to: here it does not.
        call = replace(call, inplace=False)
    tensors = (call.x, call.weight, call.bias, call.residual)
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors):
        return _apply(*tensors, call, backend, merger)
    return _forward(backend, call, merger)[0]


def _forward(backend: StagedBackend, call: Call, merger: Merger) -> tuple[Tensor, Any, ChannelMoments]:
    """Return the output, the saved statistics, and the moments of the union."""
    union = merger.moments(backend.batch_moments(call))
    if call.mask is None and int(union.count) == 1:
        raise one_value(call.x)
    y, saved = backend.normalise(call, union)
    return y, saved, union


class _MergedBatchNorm(torch.autograd.Function):
    """Autograd function: gradients of the moments are summed over the union, all others are this batch's own."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        residual: Tensor | None,
        call: Call,
        backend: StagedBackend,
        merger: Merger,
    ) -> Tensor:
        y, saved, union = _forward(backend, call, merger)
        source = slope_source(residual, call.activation, y)
        ctx.save_for_backward(x, weight, bias, source, call.mask)
        ctx.kept = backend, saved, _KnownUnion(merger, union), call.eps, call.activation
        return y

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, bias, source, mask = ctx.saved_tensors
        backend, saved, merger, eps, activation = ctx.kept
        needs = ctx.needs_input_grad[:4]
        call = BackwardCall(x, weight, bias, saved, source, grad_y, mask, activation=activation)
        if (
            torch.is_grad_enabled()
            or not is_eager(x, weight, bias, source, mask, grad_y)
            or not backend.covers_backward(call)
        ):
            check_saved(call)
            compute = partial(on_torch.merged_batch_norm, merger=merger)
            gradients = gradients_by_torch(call, backend.statistics(saved), eps, needs, compute)
            return (*gradients, None, None, None)
        of_x, of_weight, of_bias, of_residual = needs
        found = backend.moments_gradient(call)
        grad_x, grad_residual = None, found.residual
        if of_x:
            union = merger.gradient_sums(found.moments)
            grad_x = backend.input_gradient(call, int(merger.union.count), union, grad_residual)
        elif grad_residual is not None:
            grad_residual = residual_gradient(grad_residual, mask)
        if of_residual and grad_residual is None:
            grad_residual = residual_gradient(grad_y, mask)
        return (
            grad_x if of_x else None,
            parameter_gradient(weight, found.weight) if of_weight else None,
            parameter_gradient(bias, found.bias) if of_bias else None,
            grad_residual if of_residual else None,
            None,
            None,
            None,
        )


#: Bypasses ``Function.apply``, which checks for function transforms: the caller has done so.
_apply: Any = super(torch.autograd.Function, _MergedBatchNorm).apply  # pyright: ignore[reportAttributeAccessIssue]


@dataclass
class _KnownUnion:
    """Merger with known moments from the forward pass, which are not collected again."""

    merger: Merger
    union: ChannelMoments

    def moments(self, own: ChannelMoments) -> ChannelMoments:
        """Return the moments of the union."""
        return self.union

    def gradient_sums(self, own: Tensor) -> Tensor:
        """Return the gradients of the moments, summed over the union."""
        return self.merger.gradient_sums(own)
