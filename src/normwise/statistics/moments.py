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

    Sets merge into what one pass over all of them would give (Chan, Golub & LeVeque 1983, eq. 2.1 and 2.2, for two):

    .. math::

        n = \sum_b n_b \qquad \mu = \frac{1}{n} \sum_b n_b \mu_b \qquad
        M = \sum_b \left(M_b + n_b (\mu_b - \mu)^2\right)

    Attributes:
        count: Elements a channel, :math:`n`.
        mean: ``(C,)``, float64; 0 where nothing was seen.
        m2: ``(C,)``, float64: the sum of squared deviations from the mean, :math:`M`.

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
        """Return the moments of no values."""
        zero = torch.zeros(channels, dtype=torch.float64)
        return Moments(0, zero, zero)

    @staticmethod
    def of(x: Tensor, mask: Tensor | None = None) -> "Moments":
        """Return the moments of ``(N, C, *)``, of any type and order in memory, added up in float64.

        Args:
            x: Values. Of bfloat16 up to 64 elements are added up in float32 at a time.
            mask: Boolean ``(N, *)``, True where a position is real; the others take no part.

        Raises:
            ShapeError: fewer than two axes.
            MaskError: a mask of another shape or type.
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
        return Moments(*kernels.moments(x, mask))

    @staticmethod
    def merge(parts: Sequence["Moments"]) -> "Moments":
        """Return the moments of all parts together, of which there is at least one."""
        some = [part for part in parts if part.count] or parts[:1]
        if len(some) == 1:
            return some[0]
        counts = [part.count for part in some]
        count, first = sum(counts), some[0].mean
        weights = torch.tensor(counts, dtype=torch.float64, device=first.device)
        means = torch.stack([part.mean for part in some])
        # From the first mean, so that what is added up are differences.
        mean = first + weights @ (means - first) / count
        m2 = torch.stack([part.m2 for part in some]).sum(0) + weights @ (means - mean).square()
        return Moments(count, mean, m2)

    def __add__(self, other: "Moments") -> "Moments":
        """Return the moments of both sets together."""
        return Moments.merge([self, other])

    @property
    def variance(self) -> Tensor:
        """The biased variance, as batches are normalised with; needs an element a channel."""
        return self.m2 / self.count

    @property
    def unbiased_variance(self) -> Tensor:
        """The variance with Bessel's correction, as running ones have it; needs two elements a channel."""
        return self.m2 / (self.count - 1)
