"""Count, mean and second central moment of each channel, which merge exactly."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    r"""What is known of the values seen so far, per channel.

    Two sets merge into what one pass over both would give (Chan, Golub & LeVeque 1983, eq. 2.1):

    .. math::

        \delta = \mu_b - \mu_a \qquad \mu = \mu_a + \delta \frac{n_b}{n} \qquad
        M = M_a + M_b + \delta^2 \frac{n_a n_b}{n}

    Attributes:
        count: Elements a channel, :math:`n`.
        mean: ``(C,)``, float64.
        m2: ``(C,)``, float64: the sum of squared deviations from the mean, :math:`M`.
    """

    count: int
    mean: Tensor
    m2: Tensor

    @staticmethod
    def of(x: Tensor) -> "Moments":
        """The moments of ``(N, C, *)``, of any floating type, computed in float64."""
        values = x.detach().double().transpose(0, 1).flatten(1)
        count = values.shape[1]
        if count == 0:
            zero = torch.zeros(values.shape[0], dtype=torch.float64, device=x.device)
            return Moments(0, zero, zero)
        mean = values.mean(1)
        centred = values - mean[:, None]
        return Moments(count, mean, centred.square().sum(1))

    def __add__(self, other: "Moments") -> "Moments":
        """The moments of both sets together."""
        if other.count == 0:
            return self
        if self.count == 0:
            return other
        count = self.count + other.count
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / count)
        m2 = self.m2 + other.m2 + delta.square() * (self.count * other.count / count)
        return Moments(count, mean, m2)

    @property
    def unbiased_variance(self) -> Tensor:
        """With Bessel's correction, as running variances have it; needs two elements a channel."""
        return self.m2 / (self.count - 1)
