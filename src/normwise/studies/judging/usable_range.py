"""Values of a sweep with which training works: how far they go, and how wide their range is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from normwise.records import Run
from normwise.studies.arms import accuracy_at_end
from normwise.studies.judging.run_queries import result

#: A value is usable when the run ends within this share of the best accuracy of its own sweep.
SHARE = 0.9


@dataclass(frozen=True)
class UsableRange:
    """The stretch of usable values around the one with the best accuracy.

    Attributes:
        values: Values of the sweep, ascending.
        low, high: Places of the range's ends among them.
    """

    values: tuple[float, ...]
    low: int
    high: int

    @staticmethod
    def of(values: Sequence[float], runs: Sequence[Run]) -> "UsableRange":
        """Return the range of a sweep of one network and seed, a run for each value."""
        accuracies = [accuracy_at_end(run) for run in runs]
        best = max(accuracies)
        usable = [
            not result(run).diverged and accuracy >= SHARE * best
            for run, accuracy in zip(runs, accuracies, strict=True)
        ]
        low = high = accuracies.index(best)
        while low > 0 and usable[low - 1]:
            low -= 1
        while high < len(values) - 1 and usable[high + 1]:
            high += 1
        return UsableRange(tuple(values), low, high)

    @property
    def highest(self) -> float:
        """Return the highest value with which training works."""
        return self.values[self.high]

    @property
    def width(self) -> float:
        """Return the distance of the lowest from the highest, in decades."""
        return math.log10(self.values[self.high] / self.values[self.low])

    @property
    def goes_on_above(self) -> bool:
        """Tell whether it reaches the upper end of the sweep."""
        return self.high == len(self.values) - 1

    @property
    def goes_on(self) -> tuple[float, ...]:
        """Return the ends of the sweep that it reaches, beyond which it may go on."""
        ends = {self.values[0], self.values[-1]} & {self.values[self.low], self.values[self.high]}
        return tuple(sorted(ends))

    @property
    def step_below(self) -> float:
        """Return the decades from its lower end to the value below, which did not work; 0 at the end of the sweep."""
        return math.log10(self.values[self.low] / self.values[self.low - 1]) if self.low > 0 else 0.0

    @property
    def step_above(self) -> float:
        """Return the decades from its upper end to the value above, which did not work; 0 at the end of the sweep."""
        return 0.0 if self.goes_on_above else math.log10(self.values[self.high + 1] / self.values[self.high])


def best_accuracy(runs: Sequence[Run]) -> float:
    """Return the best accuracy at the end of any run."""
    return max(accuracy_at_end(run) for run in runs)
