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

    Two sets merge into what one pass over both would give (Chan, Golub & LeVeque 1983, eq. 2.1 and 2.2):

    .. math::

        n = n_1 + n_2 \qquad \mu = \mu_1 + \frac{n_2}{n} (\mu_2 - \mu_1) \qquad
        M = M_1 + M_2 + \frac{n_1 n_2}{n} (\mu_2 - \mu_1)^2

    Attributes:
        count: Values a channel.
        mean: ``(C,)``; 0 where there are none.
        m2: ``(C,)``: the sum of squared deviations from the mean.
    """

    count: int
    mean: Array
    m2: Array

    @staticmethod
    def none(channels: int) -> "Moments":
        """Return the moments of no values."""
        return Moments(0, np.zeros(channels), np.zeros(channels))

    @staticmethod
    def of(values: Any, axis: int, mask: Any = None) -> "Moments":
        """Return the moments of a batch.

        Args:
            values: A tensor of any type.
            axis: Of the channels, not negative.
            mask: Boolean, True where a position is real, as the layer takes it.

        Raises:
            ValueError: a mask that does not fit, or one that differs between channels.
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
    """Moments of the batches so far, and how much of the scatter is within the batches.

    Attributes:
        together: Of all values.
        within: ``(C,)``: the sum over the batches of squared deviations from the batch's own mean.
        calls: How many batches had values.
    """

    together: Moments
    within: Array
    calls: int = 0

    @staticmethod
    def empty(channels: int) -> "Accumulator":
        """Return the accumulator of no batches."""
        return Accumulator(Moments.none(channels), np.zeros(channels))

    def add(self, batch: Moments) -> None:
        """Count a batch in; one without values is none."""
        if batch.count:
            self.together = self.together + batch
            self.within = self.within + batch.m2
            self.calls += 1

    def lacks(self, kind: VarianceKind) -> bool:
        """Return whether there are too few values for a variance of that kind."""
        return self.together.count < 2 if kind == "population" else self.together.count - self.calls < 1

    def variance(self, kind: VarianceKind, *, unbiased: bool) -> Array:
        """Return the variance of all values, or the average of the batches' own, biased or with Bessel's correction."""
        count = self.together.count
        if kind == "population":
            return self.together.m2 / (count - 1 if unbiased else count)
        return self.within / (count - self.calls if unbiased else count)
