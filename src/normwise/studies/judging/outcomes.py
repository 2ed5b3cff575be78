"""The outcome of each case of a claim, and the verdict that follows from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from normwise.records import Outcome, Verdict
from normwise.studies.judging.bounds import Unseen
from normwise.studies.judging.intervals import LEVEL, student
from normwise.studies.judging.student import probability_below, quantile

#: Probability of the number of seeds that is asked for to decide an open case.
_POWER = 0.8
#: More seeds than this are not asked for.
MOST_SEEDS = 1000


@dataclass(frozen=True)
class CaseValues:
    """The numbers of one case: a network, or another condition that the claim is tested under.

    Attributes:
        values: The effect, a seed each, above 0 where the claim is right: a difference, or the logarithm of a ratio.
        smallest: Smallest effect that matters, above 0, on the same scale.
        resolution: Half of what the measurement itself leaves open, which widens the interval on both sides.
        unseen: Directions in which the effect of each seed may be larger than measured; empty for none.
    """

    values: Sequence[float]
    smallest: float
    resolution: float = 0.0
    unseen: Sequence[Unseen] = ()

    def without(self, seed: int) -> "CaseValues":
        """Return the case without one of its seeds, counted from 0."""
        return CaseValues(
            [*self.values[:seed], *self.values[seed + 1 :]],
            self.smallest,
            self.resolution,
            [*self.unseen[:seed], *self.unseen[seed + 1 :]],
        )

    @property
    def is_lower_bound(self) -> bool:
        """Tell whether the effect may be larger than any interval says, so that nothing refutes it."""
        return any(one.above for one in self.unseen)

    @property
    def is_upper_bound(self) -> bool:
        """Tell whether the effect may be smaller than any interval says, so that nothing shows it."""
        return any(one.below for one in self.unseen)

    @property
    def interval(self) -> tuple[float, float]:
        """Return the ends of the confidence interval, infinite where the effect is a bound; NaN where there is none."""
        mean, half = student(self.values)
        low = math.inf if self.is_upper_bound else half + self.resolution
        high = math.inf if self.is_lower_bound else half + self.resolution
        return mean - low, mean + high


def outcome(case: CaseValues) -> Outcome:
    r"""Return the outcome of a case.

    With the smallest effect that matters, :math:`\delta`, it is shown where the whole confidence interval lies above
    :math:`\delta`, reversed where it lies below :math:`-\delta`, refuted where it lies below :math:`\delta`, and open
    elsewhere.
    """
    low, high = case.interval
    if low > case.smallest:
        return "shown"
    if high < -case.smallest:
        return "reversed"
    return "refuted" if high < case.smallest else "open"


def verdict(cases: Sequence[CaseValues]) -> Verdict:
    """Return the verdict on a claim that was tested in these cases, the same seeds in each.

    It is supported where all cases show it, and not supported where all refute or reverse it. It depends where at
    least one shows it, corrected for their number by Holm's method, and at least one refutes or reverses it. It is
    undecided elsewhere, and wherever one of the seeds left out gives another verdict.

    Reference: Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure, for "at least one"; that all cases
    show it needs no correction (Berger 1982, Multiparameter Hypothesis Testing and Acceptance Sampling).
    """
    found = _verdict(cases)
    seeds = range(len(cases[0].values))
    if any(_verdict([case.without(seed) for case in cases]) != found for seed in seeds):
        return "undecided"
    return found


def seeds_needed(case: CaseValues) -> int | None:
    """Return about how many seeds would decide a case, with a probability of 0.8; None for more than a thousand.

    From its mean and standard deviation as measured, which a few seeds tell roughly.
    """
    if len(case.values) < 2 or not all(map(math.isfinite, case.values)):
        return None
    mean, deviation = float(np.mean(case.values)), float(np.std(case.values, ddof=1))
    distance = abs(mean - case.smallest) - case.resolution
    # No seed more takes a bound to the side on which it tells nothing.
    tells_nothing = case.is_upper_bound if mean > case.smallest else case.is_lower_bound
    if tells_nothing or not distance > 0:
        return None
    for seeds in range(len(case.values), MOST_SEEDS + 1):
        quantiles = quantile(seeds - 1, 0.5 + LEVEL / 2) + quantile(seeds - 1, _POWER)
        if quantiles * deviation / math.sqrt(seeds) <= distance:
            return seeds
    return None


def _verdict(cases: Sequence[CaseValues]) -> Verdict:
    outcomes = [outcome(case) for case in cases]
    if all(one == "shown" for one in outcomes):
        return "supported"
    if all(one in ("refuted", "reversed") for one in outcomes):
        return "not supported"
    if any(_shown_by_holm(cases)) and any(one in ("refuted", "reversed") for one in outcomes):
        return "depends"
    return "undecided"


def _shown_by_holm(cases: Sequence[CaseValues]) -> list[bool]:
    """Tell for each case if it shows the claim, the probability of one false among them being that of an interval."""
    chances = [_chance_at_most(case) for case in cases]
    shown = [False] * len(cases)
    for rank, index in enumerate(sorted(range(len(cases)), key=lambda index: chances[index])):
        if not chances[index] <= (1 - LEVEL) / 2 / (len(cases) - rank):
            break
        shown[index] = True
    return shown


def _chance_at_most(case: CaseValues) -> float:
    """Return the p-value of an effect that is no larger than the smallest that matters."""
    n = len(case.values)
    if n < 2 or case.is_upper_bound or not all(map(math.isfinite, case.values)):
        return 1.0
    excess = float(np.mean(case.values)) - case.resolution - case.smallest
    error = float(np.std(case.values, ddof=1)) / math.sqrt(n)
    if error == 0:
        return 0.0 if excess > 0 else 1.0
    return probability_below(n - 1, -excess / error)
