"""Count, mean and second central moment of each channel, in float64, and their sums over batches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normwise.keras.masks import real_positions
from normwise.keras.surgery.arrays import double
from normwise.records import VarianceKind

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    r"""Count, mean and second central moment of values, per channel.

    Moments of two sets merge into those of their union (Chan, Golub & LeVeque 1983, eq. 2.1 and 2.2):

    .. math::

        n = n_1 + n_2 \qquad \mu = \mu_1 + \frac{n_2}{n} (\mu_2 - \mu_1) \qquad
        M = M_1 + M_2 + \frac{n_1 n_2}{n} (\mu_2 - \mu_1)^2

    Attributes:
        count: Number of values per channel.
        mean: Mean of each channel, ``(C,)``; 0 without values.
        m2: Sum of squared deviations from the mean, ``(C,)``.
    """

    count: int
    mean: Array
    m2: Array

    @staticmethod
    def none(channels: int) -> "Moments":
        """Return the moments of an empty set."""
        return Moments(0, np.zeros(channels), np.zeros(channels))

    @staticmethod
    def of(values: Any, axis: int, mask: Any = None) -> "Moments":
        """Return the moments of a batch.

        Args:
            values: Tensor of any dtype.
            axis: Axis of the channels, not negative.
            mask: Boolean mask of the layer, True where a position is real.

        Raises:
            ValueError: the mask does not fit, or differs between channels.
        """
        x = np.moveaxis(double(values), axis, -1)
        if mask is not None:
            x = x[real_positions(double(mask), values.shape, axis, "the layer")]
        x = x.reshape(-1, x.shape[-1])
        if not len(x):
            return Moments.none(x.shape[-1])
        mean = x.mean(0)
        return Moments(len(x), mean, np.square(x - mean).sum(0))

    def __add__(self, other: "Moments") -> "Moments":
        """Return the moments of both sets together."""
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        return Moments(
            count, mean, self.m2 + other.m2 + np.square(apart) * (self.count * other.count / count)
        )


@dataclass
class Accumulator:
    """Moments of the batches so far, and their scatter within the batches.

    Attributes:
        together: Moments of all values.
        within: Sum over the batches of squared deviations from the batch's own mean, ``(C,)``.
        calls: Number of batches with values.
    """

    together: Moments
    within: Array
    calls: int = 0

    @staticmethod
    def empty(channels: int) -> "Accumulator":
        """Return an empty accumulator."""
        return Accumulator(Moments.none(channels), np.zeros(channels))

    def add(self, batch: Moments) -> None:
        """Add a batch; a batch without values is ignored."""
        if batch.count:
            self.together = self.together + batch
            self.within = self.within + batch.m2
            self.calls += 1

    def lacks(self, kind: VarianceKind) -> bool:
        """Return whether there are too few values for a kind of variance."""
        return self.together.count < 2 if kind == "population" else self.together.count - self.calls < 1

    def variance(self, kind: VarianceKind, *, unbiased: bool) -> Array:
        """Return the variance of all values, or the mean of the batches' own, biased or with Bessel's correction."""
        count = self.together.count
        if kind == "population":
            return self.together.m2 / (count - 1 if unbiased else count)
        return self.within / (count - self.calls if unbiased else count)
