"""Batch renormalization: training normalises as evaluation does."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from normwise import kernels
from normwise.errors import ArgumentError
from normwise.kernels import Call
from normwise.nn.batch_norm import _BatchNorm
from normwise.nn.norm_traits import NormTraits
from normwise.nn.tools.recent_calls import RecentCalls
from normwise.nn.tools.recomputation import is_recomputed
from normwise.nn.tools.scripted import NotScriptable


class _BatchRenorm(_BatchNorm, NotScriptable):
    """Base of the three layers."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
        activation: str | None = None,
        inplace: bool = False,
        r_max: float = 3.0,
        d_max: float = 5.0,
        warmup_steps: int = 5_000,
        r_max_steps: int = 40_000,
        d_max_steps: int = 25_000,
    ) -> None:
        if not r_max >= 1 or not d_max >= 0:
            raise ArgumentError(
                f"expected r_max of 1 or more and d_max of 0 or more, got {r_max} and {d_max}"
            )
        if not 0 <= warmup_steps <= min(r_max_steps, d_max_steps):
            raise ArgumentError(
                f"expected 0 <= warmup_steps <= r_max_steps and d_max_steps, got {warmup_steps}, {r_max_steps} and "
                f"{d_max_steps}"
            )
        super().__init__(
            num_features,
            eps,
            momentum,
            affine,
            track_running_stats,
            device,
            dtype,
            bias=bias,
            activation=activation,
            inplace=inplace,
        )
        self.r_max, self.d_max = r_max, d_max
        self.warmup_steps, self.r_max_steps, self.d_max_steps = warmup_steps, r_max_steps, d_max_steps
        self._recent: RecentCalls[tuple[Tensor, Tensor]] = RecentCalls()

    def limits(self) -> tuple[Tensor, Tensor]:
        """Return the limits of r and d after the batches so far, as 0-dimensional tensors."""
        steps = self.num_batches_tracked
        if steps is None:
            # Without a counter the limits are the final ones.
            device = None if self.running_mean is None else self.running_mean.device
            return torch.full((), float(self.r_max), device=device), torch.full(
                (), float(self.d_max), device=device
            )

        def share(end: int) -> Tensor:
            # Without a ramp, the first batch after the warm-up has the final limits.
            begin = min(self.warmup_steps, end - 1)
            return ((steps - begin) / (end - begin)).clamp(0, 1)

        return 1 + (self.r_max - 1) * share(self.r_max_steps), self.d_max * share(self.d_max_steps)

    def _compute(self, call: Call) -> Tensor:
        call.check()
        _, _, running_mean, running_var, _ = self._own_tensors()
        if (
            self.training
            and self.track_running_stats
            and running_mean is not None
            and running_var is not None
        ):
            r, d = self._correction(call, running_mean, running_var)
            weight, bias = call.weight, call.bias
            # y = γ (x̂ r + d) + β is batch normalization with γ r and γ d + β instead of γ and β; in their
            # dtype, since torch's operators accept no other.
            kind = running_mean.dtype if weight is None else weight.dtype
            scale, shift = (r, d) if weight is None else (weight * r, weight * d)
            call.weight, call.bias = scale.to(kind), (shift if bias is None else shift + bias).to(kind)
        return kernels.batch_norm(call)

    @torch.no_grad()
    def _correction(self, call: Call, running_mean: Tensor, running_var: Tensor) -> tuple[Tensor, ...]:
        """Return r and d of a batch, ``(C,)``, as constants without gradient."""
        count, mean, variance = kernels.batch_moments(call.x, call.mask)
        if is_recomputed() and (found := self._recent.nearest(mean)) is not None:
            # The running statistics have changed since the forward pass that this one repeats.
            return found
        deviation = (running_var.to(variance.dtype) + self.eps).sqrt()
        r_max, d_max = (limit.to(variance) for limit in self.limits())
        r = ((variance + self.eps).sqrt() / deviation).clamp(1 / r_max, r_max)
        d = ((mean - running_mean) / deviation).clamp(-d_max, d_max)
        # Without a variance there is no correction.
        r, d = torch.where(count > 1, r, 1), torch.where(count > 1, d, 0)
        kind = torch.promote_types(call.x.dtype, torch.float32)
        r, d = r.to(kind), d.to(kind)
        if not torch.compiler.is_compiling():
            self._recent.add(mean, (r, d))
        return r, d

    def extra_repr(self) -> str:
        """Return the arguments, for ``repr``."""
        return f"{super().extra_repr()}, r_max={self.r_max}, d_max={self.d_max}"


class BatchRenorm1d(_BatchRenorm, nn.BatchNorm1d):
    r"""Batch renormalization of ``(N, C)`` or ``(N, C, L)``: training computes the same as evaluation, within limits.

    .. math::

        y = a\left(\gamma \left(\frac{x - \mu_B}{\sigma_B} \, r + d\right) + \beta + r'\right), \qquad
        r = \mathrm{clip}_{[1/r_{max},\, r_{max}]}\!\left(\frac{\sigma_B}{\sigma}\right), \qquad
        d = \mathrm{clip}_{[-d_{max},\, d_{max}]}\!\left(\frac{\mu_B - \mu}{\sigma}\right)

    with the batch's mean and deviation :math:`\mu_B, \sigma_B = \sqrt{\mathrm{var}_B + \epsilon}`, and the running ones
    :math:`\mu, \sigma = \sqrt{\mathrm{var} + \epsilon}` before the batch. No gradient flows through r and d. If no
    limit is reached, :math:`y = \gamma (x - \mu) / \sigma + \beta`, as in evaluation.

    The limits depend on the number t of batches before this one, ``num_batches_tracked`` in the ``state_dict``. Up
    to ``warmup_steps``, r is 1 and d is 0, which is batch normalization. Then :math:`r_{max}` grows linearly to
    ``r_max`` at ``r_max_steps``, and :math:`d_{max}` to ``d_max`` at ``d_max_steps``. The defaults are those of the
    paper. For a fine-tuning of some thousand steps choose smaller numbers. Without running statistics the layer is
    batch normalization.

    Shape:
        ``input``, ``residual`` and the output ``(N, C)`` or ``(N, C, L)``; ``mask`` ``(N,)`` or ``(N, L)``.

    Args:
        r_max, d_max: Final limits: 1 or more, and 0 or more.
        warmup_steps: Largest t at which a batch is normalised as by :class:`BatchNorm1d`. If ``r_max_steps`` is
            equal, there is no ramp: the next batch has the final limits of r.
        r_max_steps, d_max_steps: Number of batches after which the limits are ``r_max`` and ``d_max``.

    The other arguments and the errors are those of :class:`BatchNorm1d`. ``state_dict`` is compatible with torch's,
    in both directions; that of a trained BN layer includes its number of batches, so the warm-up may already be
    over. The paper averages σ; this layer averages the variance, as BN does. Activation checkpointing repeats a
    forward pass with the same r and d; more than 32 forward passes of the layer before the backward pass are then
    an error. Don't compile a checkpointed part of a model that has this layer: torch.compile would repeat it with
    running statistics that have changed.

    References:
        Ioffe 2017, https://arxiv.org/abs/1702.03275, section 3 (algorithm 1) and section 4.1 (the schedule).

    Example:
        >>> import torch, normwise
        >>> layer = normwise.nn.BatchRenorm1d(3, warmup_steps=100, r_max_steps=500, d_max_steps=500)
        >>> layer(torch.randn(4, 3)).shape, [float(limit) for limit in layer.limits()]
        (torch.Size([4, 3]), [1.0, 0.0])
    """

    traits: ClassVar[NormTraits] = NormTraits("batch", (1,), "renorm", fuses=True)
    _shapes: ClassVar[dict[int, str]] = {2: "(N, C)", 3: "(N, C, L)"}


class BatchRenorm2d(_BatchRenorm, nn.BatchNorm2d):
    """Batch renormalization of images ``(N, C, H, W)``; ``mask`` is ``(N, H, W)``.

    Arguments, behaviour and errors are otherwise those of :class:`BatchRenorm1d`.
    """

    traits: ClassVar[NormTraits] = NormTraits("batch", (2,), "renorm", fuses=True)
    _shapes: ClassVar[dict[int, str]] = {4: "(N, C, H, W)"}


class BatchRenorm3d(_BatchRenorm, nn.BatchNorm3d):
    """Batch renormalization of volumes ``(N, C, D, H, W)``; ``mask`` is ``(N, D, H, W)``.

    Arguments, behaviour and errors are otherwise those of :class:`BatchRenorm1d`.
    """

    traits: ClassVar[NormTraits] = NormTraits("batch", (3,), "renorm", fuses=True)
    _shapes: ClassVar[dict[int, str]] = {5: "(N, C, D, H, W)"}
