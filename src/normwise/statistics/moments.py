"""Count, mean and second central moment of each channel, which merge exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from normwise import kernels
from normwise.errors import MaskError, ShapeError


@dataclass(frozen=True)
class Moments:
    r"""Count, mean and second central moment of the values seen so far, per channel.

    Moments of several sets merge into those of their union (Chan, Golub & LeVeque 1983, eq. 2.1 and 2.2, for two):

    .. math::

        n = \sum_b n_b \qquad \mu = \frac{1}{n} \sum_b n_b \mu_b \qquad
        M = \sum_b \left(M_b + n_b (\mu_b - \mu)^2\right)

    Attributes:
        count: Number of elements per channel, :math:`n`.
        mean: Mean of each channel, ``(C,)``, float64; 0 without elements.
        m2: Sum of squared deviations from the mean, :math:`M`, ``(C,)``, float64.

    Example:
        >>> import torch
        >>> from normwise.statistics import Moments
        >>> x = torch.tensor([[1.0], [2.0], [3.0], [6.0]])
        >>> both = Moments.of(x[:1]) + Moments.of(x[1:])
        >>> both.count, both.mean.item(), both.variance.item()
        (4, 3.0, 3.5)
    """

    count: int
    mean: Tensor
    m2: Tensor

    @staticmethod
    def none(channels: int) -> "Moments":
        """Return the moments of an empty set."""
        zero = torch.zeros(channels, dtype=torch.float64)
        return Moments(0, zero, zero)

    @staticmethod
    def of(x: Tensor, mask: Tensor | None = None) -> "Moments":
        """Return the moments of ``(N, C, *)``, of any dtype and memory format, summed in float64.

        Args:
            x: Values. For bfloat16, up to 64 elements at a time are summed in float32.
            mask: Boolean mask ``(N, *)``, True where a position is real; other positions take no part.

        Raises:
            ShapeError: ``x`` has fewer than two axes.
            MaskError: the mask has a wrong shape or dtype.
        """
        if x.dim() < 2:
            raise ShapeError(
                f"expected values of shape (N, C, *), got {tuple(x.shape)}; add the missing axes"
            )
        expected = (x.shape[0], *x.shape[2:])
        if mask is not None and (mask.dtype != torch.bool or mask.shape != expected):
            raise MaskError(
                f"expected a boolean mask of shape {expected}, that of the values, {tuple(x.shape)}, without the "
                f"channel axis, got {mask.dtype} of shape {tuple(mask.shape)}"
            )
        return Moments(*kernels.channel_sums(x, mask))

    @staticmethod
    def merge(parts: Sequence["Moments"]) -> "Moments":
        """Return the moments of all parts together; there must be at least one."""
        some = [part for part in parts if part.count] or parts[:1]
        if len(some) == 1:
            return some[0]
        counts = [part.count for part in some]
        count, first = sum(counts), some[0].mean
        weights = torch.tensor(counts, dtype=torch.float64, device=first.device)
        means = torch.stack([part.mean for part in some])
        # Relative to the first mean, so that differences are summed.
        mean = first + weights @ (means - first) / count
        m2 = torch.stack([part.m2 for part in some]).sum(0) + weights @ (means - mean).square()
        return Moments(count, mean, m2)

    def __add__(self, other: "Moments") -> "Moments":
        """Return the moments of both sets together."""
        return Moments.merge([self, other])

    @property
    def variance(self) -> Tensor:
        """Return the biased variance, which normalises batches; needs one element per channel."""
        return self.m2 / self.count

    @property
    def unbiased_variance(self) -> Tensor:
        """Return the variance with Bessel's correction, as in running statistics; needs two elements per channel."""
        return self.m2 / (self.count - 1)
