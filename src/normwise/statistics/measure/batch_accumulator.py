"""An accumulator of the moments of batches: of all values together, and within and between the batches."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from normwise.records import VarianceKind
from normwise.statistics.moments import Moments

#: Batches that are merged at a time: one by one, merging would take longer than the moments themselves.
_AT_A_TIME = 64


@dataclass
class BatchAccumulator:
    """Sums over the batches that a layer was called with; all are exact in float64.

    Attributes:
        calls: How many batches had values; a layer that is called several times in a forward pass has several.
    """

    _together: Moments
    _within: Tensor
    calls: int = 0
    _pending: list[Moments] = field(default_factory=list)

    @staticmethod
    def empty(channels: int) -> "BatchAccumulator":
        """Return the accumulator of no batches."""
        return BatchAccumulator(Moments.none(channels), torch.zeros(channels, dtype=torch.float64))

    def add(self, batch: Moments) -> None:
        """Count a batch in; one without values is none."""
        if batch.count:
            self._pending.append(batch)
            self.calls += 1
            if len(self._pending) == _AT_A_TIME:
                self._merge()

    @property
    def together(self) -> Moments:
        """Count, mean and second central moment of all values."""
        self._merge()
        return self._together

    @property
    def within(self) -> Tensor:
        """``(C,)``, float64: the sum over the batches of squared deviations from the batch's own mean."""
        self._merge()
        return self._within

    @property
    def between(self) -> Tensor:
        r"""``(C,)``, float64: the scatter of the batches' means, :math:`\sum_b n_b (\mu_b - \mu)^2`."""
        return (self.together.m2 - self.within).clamp_min(0)

    @property
    def freedom(self) -> int:
        """Degrees of freedom within the batches: the sum of their counts less one."""
        return self.together.count - self.calls

    def _merge(self) -> None:
        if self._pending:
            m2 = torch.stack([batch.m2 for batch in self._pending]).sum(0)
            self._within = self._within.to(m2.device) + m2
            self._together = Moments.merge([self._together, *self._pending])
            self._pending.clear()

    def __add__(self, other: "BatchAccumulator") -> "BatchAccumulator":
        """Return the accumulator of the batches of both."""
        return BatchAccumulator(
            self.together + other.together, self.within + other.within, self.calls + other.calls
        )

    def cpu(self) -> "BatchAccumulator":
        """Return the same with its tensors where every process can read them."""
        together = Moments(self.together.count, self.together.mean.cpu(), self.together.m2.cpu())
        return BatchAccumulator(together, self.within.cpu(), self.calls)

    def lacks(self, kind: VarianceKind) -> bool:
        """Return whether there are too few values for a variance of that kind."""
        return self.together.count < 2 if kind == "population" else self.freedom < 1

    def variance(self, kind: VarianceKind) -> Tensor:
        """Return the unbiased variance of all values, or the average of the batches' own."""
        return self.together.unbiased_variance if kind == "population" else self.within / self.freedom
