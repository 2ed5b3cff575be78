"""Batch normalization with the moments of a union of batches, on torch's operators."""

from typing import Any

import torch
from torch import Tensor

from normwise.kernels.call import Call, one_value
from normwise.kernels.merged.merger import Merger
from normwise.kernels.torch_backend import primitives
from normwise.kernels.torch_backend.primitives import ChannelMoments


def merged_batch_norm(call: Call, merger: Merger) -> Tensor:
    """Return the output of a training call, and update its statistics; see the module ``dispatch``."""
    own = primitives.moments(call.x, call.mask)
    mean, variance, count = _Union.apply(own.count, own.mean, own.variance, merger)
    # Reading the count would wait for a GPU.
    if call.mask is None and call.x.is_cpu and count == 1:
        raise one_value(call.x)
    y = primitives.normalise(
        call.x,
        mean,
        torch.rsqrt(variance + call.eps),
        call.weight,
        call.bias,
        activation=call.activation,
        residual=call.residual,
        mask=call.mask,
    )
    primitives.update_running(
        call.running_mean, call.running_var, mean, variance, count, call.momentum, call.counter
    )
    return y


def merged_moments(own: ChannelMoments, merger: Merger) -> ChannelMoments:
    """Return the moments of the union, with gradients.

    Moments of several batches are ``(K,)`` and ``(K, C)``, merged separately.
    """
    mean, variance, count = _Union.apply(own.count, own.mean, own.variance, merger)
    return ChannelMoments(count, mean, variance)


class _Union(torch.autograd.Function):
    """Autograd function: mean, biased variance and count of the union; backward, this part's share of them."""

    @staticmethod
    def forward(
        ctx: Any, count: Tensor, mean: Tensor, variance: Tensor, merger: Merger
    ) -> tuple[Tensor, Tensor, Tensor]:
        union = merger.moments(ChannelMoments(count, mean, variance))
        ctx.merger = merger
        share = (count / union.count.clamp(min=1)).unsqueeze(-1)
        ctx.save_for_backward(share, mean, union.mean)
        ctx.mark_non_differentiable(union.count)
        return union.mean, union.variance, union.count

    @staticmethod
    def backward(ctx: Any, grad_mean: Tensor, grad_variance: Tensor, _: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        share, mean, union_mean = ctx.saved_tensors
        grad_mean, grad_variance = _Sums.apply(torch.stack([grad_mean, grad_variance]), ctx.merger).unbind()
        return (
            None,
            share * (grad_mean + 2 * (mean - union_mean) * grad_variance),
            share * grad_variance,
            None,
        )


class _Sums(torch.autograd.Function):
    """Autograd function: sums over the union, whose gradient is again a sum over the union."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, merger: Merger) -> Tensor:
        ctx.merger = merger
        return merger.gradient_sums(own)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _Sums.apply(grad, ctx.merger), None
