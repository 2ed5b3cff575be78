"""Batch renormalization: training that normalises as evaluation will."""

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
    """The layers' common part."""

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
        """Return the limits of r and d at the number of batches so far, 0-dimensional tensors."""
        steps = self.num_batches_tracked
        if steps is None:
            # Nothing counts: as after all steps.
            device = None if self.running_mean is None else self.running_mean.device
            return torch.full((), float(self.r_max), device=device), torch.full(
                (), float(self.d_max), device=device
            )

        def share(end: int) -> Tensor:
            # Without a ramp the batch after the warm-up has the limits in full.
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
            # y = γ (x̂ r + d) + β is batch normalization with γ r and γ d + β in the place of γ and β; of their type, as
            # torch's operators take no others.
            kind = running_mean.dtype if weight is None else weight.dtype
            scale, shift = (r, d) if weight is None else (weight * r, weight * d)
            call.weight, call.bias = scale.to(kind), (shift if bias is None else shift + bias).to(kind)
        return kernels.batch_norm(call)

    @torch.no_grad()
    def _correction(self, call: Call, running_mean: Tensor, running_var: Tensor) -> tuple[Tensor, ...]:
        """Return r and d of a batch, ``(C,)``, which are constants to the gradient."""
        count, mean, variance = kernels.batch_moments(call.x, call.mask)
        if is_recomputed() and (found := self._recent.nearest(mean)) is not None:
            # The running statistics have moved since the forward pass that this one repeats.
            return found
        deviation = (running_var.to(variance.dtype) + self.eps).sqrt()
        r_max, d_max = (limit.to(variance) for limit in self.limits())
        r = ((variance + self.eps).sqrt() / deviation).clamp(1 / r_max, r_max)
        d = ((mean - running_mean) / deviation).clamp(-d_max, d_max)
        # Without a variance there is nothing to correct.
        r, d = torch.where(count > 1, r, 1), torch.where(count > 1, d, 0)
        kind = torch.promote_types(call.x.dtype, torch.float32)
        r, d = r.to(kind), d.to(kind)
        if not torch.compiler.is_compiling():
            self._recent.add(mean, (r, d))
        return r, d

    def extra_repr(self) -> str:
        """The arguments, for ``repr``."""
        return f"{super().extra_repr()}, r_max={self.r_max}, d_max={self.d_max}"


class BatchRenorm1d(_BatchRenorm, nn.BatchNorm1d):
    r"""Batch renormalization of ``(N, C)`` or ``(N, C, L)``: training computes what evaluation will, within limits.

    .. math::

        y = a\left(\gamma \left(\frac{x - \mu_B}{\sigma_B} \, r + d\right) + \beta + r'\right), \qquad
        r = \mathrm{clip}_{[1/r_{max},\, r_{max}]}\!\left(\frac{\sigma_B}{\sigma}\right), \qquad
        d = \mathrm{clip}_{[-d_{max},\, d_{max}]}\!\left(\frac{\mu_B - \mu}{\sigma}\right)

    with the batch's mean and deviation :math:`\mu_B, \sigma_B = \sqrt{\mathrm{var}_B + \epsilon}`, and the running ones
    :math:`\mu, \sigma = \sqrt{\mathrm{var} + \epsilon}` as they were before the batch. r and d are constants to the
    gradient. Where neither limit is reached, :math:`y = \gamma (x - \mu) / \sigma + \beta`, which is evaluation's.

    The limits follow the number t of batches before this one, ``num_batches_tracked``, which ``state_dict`` has: up to
    ``warmup_steps`` r is 1 and d is 0, which is batch normalization; then :math:`r_{max}` grows to ``r_max`` at
    ``r_max_steps``, and :math:`d_{max}` to ``d_max`` at ``d_max_steps``, linearly. The defaults are the paper's. For a
    fine-tuning of some thousand steps choose smaller numbers. Without running statistics it is batch normalization.

    Shape:
        ``input``, ``residual`` and the output ``(N, C)`` or ``(N, C, L)``; ``mask`` ``(N,)`` or ``(N, L)``.

    Args:
        r_max, d_max: The limits in the end: 1 or more, and 0 or more.
        warmup_steps: Largest t at which a batch is normalised as by :class:`BatchNorm1d`; where ``r_max_steps`` is the
            same, there is no ramp, and from that t on r has its limits in full.
        r_max_steps, d_max_steps: Number of batches after which the limits are ``r_max`` and ``d_max``.

    The others are :class:`BatchNorm1d`'s, as are the errors. ``state_dict`` is torch's, both ways: a trained BN layer's
    has its number of batches, with which the warm-up may be over. The paper averages σ, this layer the variance, as BN
    does. Under activation checkpointing a forward pass is repeated with the r and d that it had; more than 32 forward
    passes of the layer before the backward pass are an error there. Don't compile a checkpointed part of a model that
    has this layer: torch.compile computes it anew from running statistics that have moved.

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

    All else is :class:`BatchRenorm1d`'s.
    """

    traits: ClassVar[NormTraits] = NormTraits("batch", (2,), "renorm", fuses=True)
    _shapes: ClassVar[dict[int, str]] = {4: "(N, C, H, W)"}


class BatchRenorm3d(_BatchRenorm, nn.BatchNorm3d):
    """Batch renormalization of volumes ``(N, C, D, H, W)``; ``mask`` is ``(N, D, H, W)``.

    All else is :class:`BatchRenorm1d`'s.
    """

    traits: ClassVar[NormTraits] = NormTraits("batch", (3,), "renorm", fuses=True)
    _shapes: ClassVar[dict[int, str]] = {5: "(N, C, D, H, W)"}
