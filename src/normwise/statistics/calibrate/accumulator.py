"""What a BN layer has seen in a pass over data: all values together, and what scatters within the batches."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from normwise.records import VarianceKind
from normwise.statistics.moments import Moments

#: Batches that are merged at a time: one by one, merging would take longer than the moments themselves.
_AT_A_TIME = 64


@dataclass
class Seen:
    """Sums over the batches that a layer was called with.

    Attributes:
        freedom: The sum over the batches of their count less one.
    """

    _together: Moments
    _within: Tensor
    freedom: int = 0
    _pending: list[Moments] = field(default_factory=list)

    @staticmethod
    def nothing(channels: int) -> "Seen":
        """Before the first batch."""
        return Seen(Moments.none(channels), torch.zeros(channels, dtype=torch.float64))

    def add(self, batch: Moments) -> None:
        """Count a batch in; one without values is none."""
        if batch.count:
            self._pending.append(batch)
            self.freedom += batch.count - 1
            if len(self._pending) == _AT_A_TIME:
                self._merge()

    @property
    def together(self) -> Moments:
        """Moments of all values."""
        self._merge()
        return self._together

    @property
    def within(self) -> Tensor:
        """``(C,)``, float64: the sum over the batches of squared deviations from the batch's own mean."""
        self._merge()
        return self._within

    def _merge(self) -> None:
        if self._pending:
            m2 = torch.stack([batch.m2 for batch in self._pending]).sum(0)
            self._within = self._within.to(m2.device) + m2
            self._together = Moments.merge([self._together, *self._pending])
            self._pending.clear()

    def merged(self, other: "Seen") -> "Seen":
        """With what another process saw."""
        return Seen(self.together + other.together, self.within + other.within, self.freedom + other.freedom)

    def cpu(self) -> "Seen":
        """The same with its tensors where every process can read them."""
        together = Moments(self.together.count, self.together.mean.cpu(), self.together.m2.cpu())
        return Seen(together, self.within.cpu(), self.freedom)

    def lacks(self, kind: VarianceKind) -> bool:
        """Whether too little was seen for a variance of that kind."""
        return self.together.count < 2 if kind == "population" else self.freedom < 1

    def variance(self, kind: VarianceKind) -> Tensor:
        """The unbiased variance of all values, or the average of the batches' own."""
        return self.together.unbiased_variance if kind == "population" else self.within / self.freedom
