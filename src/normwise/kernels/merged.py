"""Batch normalization by the statistics of a union: this batch and others, such as those of other processes."""

from typing import Any, Protocol

import torch
from torch import Tensor

from normwise.kernels.call import Call, one_value
from normwise.kernels.torch_backend import primitives
from normwise.kernels.torch_backend.primitives import ChannelMoments


class Merger(Protocol):
    """The union of this batch and others: it takes what belongs to this one, and returns what belongs to all."""

    def moments(self, own: ChannelMoments) -> ChannelMoments:
        """Return the moments of the union; no gradient flows."""
        ...

    def gradient_sums(self, own: Tensor) -> Tensor:
        """Return ``(2, C)``, float64, added up over the union."""
        ...


def merged_batch_norm(call: Call, merger: Merger) -> Tensor:
    r"""Return the output of a call of training that is normalised by the moments of a union, and move its statistics.

    With the parts :math:`k` of the union, counts :math:`m_k` and :math:`m = \sum_k m_k`:

    .. math::

        \mu = \sum_k \frac{m_k}{m} \mu_k \qquad
        \sigma^2 = \sum_k \frac{m_k}{m} \left(\sigma_k^2 + (\mu_k - \mu)^2\right)

    The gradient of the input is that of the whole union; those of γ and β are of this part alone, as the gradients of
    all other parameters are.

    Raises:
        ShapeError: the union has one value per channel, and there is no mask.
    """
    own = primitives.moments(call.x, call.mask)
    mean, variance, count = _Union.apply(own.count, own.mean, own.variance, merger)
    # To ask for the count on a GPU would wait for it.
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

    Those of several batches are ``(K,)`` and ``(K, C)``, each merged by itself.
    """
    mean, variance, count = _Union.apply(own.count, own.mean, own.variance, merger)
    return ChannelMoments(count, mean, variance)


class _Union(torch.autograd.Function):
    """Mean, biased variance and count of the union; backward, the share that this part has in them."""

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
    """Sums over the union, whose gradient is a sum over the union again."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, merger: Merger) -> Tensor:
        ctx.merger = merger
        return merger.gradient_sums(own)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _Sums.apply(grad, ctx.merger), None
