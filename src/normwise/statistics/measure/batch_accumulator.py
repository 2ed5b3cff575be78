"""Accumulator of the moments of batches: of all values, within the batches, and between them."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from normwise.records import VarianceKind
from normwise.statistics.moments import Moments

#: Number of batches merged at a time: one by one, merging would take longer than computing the moments.
_AT_A_TIME = 64


@dataclass
class BatchAccumulator:
    """Sums over the batches of a layer's calls, in float64.

    Attributes:
        calls: Number of batches with values; a layer that is called several times in a forward pass has several.
    """

    _together: Moments
    _within: Tensor
    calls: int = 0
    _pending: list[Moments] = field(default_factory=list)

    @staticmethod
    def empty(channels: int) -> "BatchAccumulator":
        """Return an empty accumulator."""
        return BatchAccumulator(Moments.none(channels), torch.zeros(channels, dtype=torch.float64))

    def add(self, batch: Moments) -> None:
        """Add a batch; a batch without values is ignored."""
        if batch.count:
            self._pending.append(batch)
            self.calls += 1
            if len(self._pending) == _AT_A_TIME:
                self._merge()

    @property
    def together(self) -> Moments:
        """Return count, mean and second central moment of all values."""
        self._merge()
        return self._together

    @property
    def within(self) -> Tensor:
        """Return the sum over the batches of squared deviations from the batch's own mean, ``(C,)``, float64."""
        self._merge()
        return self._within

    @property
    def between(self) -> Tensor:
        r"""Return the scatter of the batches' means, :math:`\sum_b n_b (\mu_b - \mu)^2`, ``(C,)``, float64."""
        return (self.together.m2 - self.within).clamp_min(0)

    @property
    def freedom(self) -> int:
        """Return the degrees of freedom within the batches: the sum of their counts minus one."""
        return self.together.count - self.calls

    def _merge(self) -> None:
        if self._pending:
            m2 = torch.stack([batch.m2 for batch in self._pending]).sum(0)
            self._within = self._within.to(m2.device) + m2
            self._together = Moments.merge([self._together, *self._pending])
            self._pending.clear()

    def __add__(self, other: "BatchAccumulator") -> "BatchAccumulator":
        """Return the accumulator with the batches of both."""
        return BatchAccumulator(
            self.together + other.together, self.within + other.within, self.calls + other.calls
        )

    def cpu(self) -> "BatchAccumulator":
        """Return the accumulator with tensors that every process can read, on the CPU."""
        together = Moments(self.together.count, self.together.mean.cpu(), self.together.m2.cpu())
        return BatchAccumulator(together, self.within.cpu(), self.calls)

    def lacks(self, kind: VarianceKind) -> bool:
        """Return whether there are too few values for a kind of variance."""
        return self.together.count < 2 if kind == "population" else self.freedom < 1

    def variance(self, kind: VarianceKind) -> Tensor:
        """Return the unbiased variance of all values, or the mean of the batches' own variances."""
        return self.together.unbiased_variance if kind == "population" else self.within / self.freedom
