"""Plan of a case: the compared runs, the measured effect, and the smallest effect that matters."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean

from normwise.records import Bilingual, Case, Effect, Family, Outcome, Run, RunConfig
from normwise.studies.arms import Runs
from normwise.studies.judging.bounds import Unseen
from normwise.studies.judging.intervals import LEVEL, geometric_effect, mean_effect
from normwise.studies.judging.outcomes import CaseValues, outcome, seeds_needed


@dataclass(frozen=True)
class CasePlan:
    """One network, or another condition, under which a claim is tested.

    Attributes:
        name: Name of the network or condition.
        gloss: Description for a reader who does not know the name.
        family: Kind of network.
        arms: Configurations to compare, each run with every seed.
        value: Function from the runs of one seed, in the order of the arms, to the effect; above 0 (a ratio above
            1) if the claim is right.
        effect: Description of the effect.
        unit: Unit of the effect; "times" for a ratio.
        smallest: Smallest effect that matters.
        resolution: Function from the runs of one seed to half of the uncertainty from their evaluations: a
            difference, or a factor for a ratio; None for none.
        unseen: Function from the runs of one seed to the directions in which the effect may be larger than
            measured, since a budget ended; None for none. A bound from below is never refuted, one from above never
            shown, and an effect that may lie anywhere isn't measured.
        note: Function from all runs, by arm, to a note that a reader needs to understand the effect.
    """

    name: str
    gloss: Bilingual
    family: Family
    arms: tuple[RunConfig, ...]
    value: Callable[..., float]
    effect: str
    unit: str
    smallest: float
    resolution: Callable[..., float] | None = None
    unseen: Callable[..., Unseen] | None = None
    note: Callable[..., str] | None = None

    @property
    def is_ratio(self) -> bool:
        """Tell whether no effect is 1, and not 0."""
        return self.unit == "times"

    def values(self, runs: Runs) -> list[float]:
        """Return the effect of each seed."""
        values = [self.value(*of_seed) for of_seed in self._by_seed(runs)]
        unseen = self._unseen(runs) or [Unseen()] * len(values)
        return [
            math.nan if one.below and one.above else value for value, one in zip(values, unseen, strict=True)
        ]

    def judged(self, runs: Runs) -> CaseValues:
        """Return the effects as they are judged: ratios by their logarithms."""
        values, open_by, unseen = self.values(runs), self._open_by(runs), self._unseen(runs)
        if self.is_ratio:
            logs = [_log(value) for value in values]
            return CaseValues(logs, math.log(self.smallest), math.log(open_by), unseen)
        return CaseValues(values, self.smallest, open_by, unseen)

    def result(self, runs: Runs) -> Case:
        """Return the outcome."""
        judged, of_arms = self.judged(runs), [runs.of(arm) for arm in self.arms]
        note = "" if self.note is None else self.note(*of_arms)
        measured: Effect
        if self.is_ratio:
            measured = geometric_effect(
                self.effect, self.unit, self.values(runs), note, resolution=self._open_by(runs)
            )
        else:
            measured = mean_effect(
                self.effect, self.unit, self.values(runs), note, resolution=judged.resolution
            )
        if judged.is_upper_bound and not math.isnan(measured.estimate):
            measured = replace(measured, low=0.0 if self.is_ratio else -math.inf)
        if judged.is_lower_bound and not math.isnan(measured.estimate):
            measured = replace(measured, high=math.inf)
        found = outcome(judged)
        return Case(
            self.name,
            self.gloss,
            self.family,
            measured,
            self.smallest,
            found,
            seeds_needed=seeds_needed(judged) if found == "open" else None,
        )

    def _open_by(self, runs: Runs) -> float:
        if self.resolution is None:
            return 1.0 if self.is_ratio else 0.0
        each = [self.resolution(*of_seed) for of_seed in self._by_seed(runs)]
        return math.exp(fmean(map(math.log, each))) if self.is_ratio else fmean(each)

    def _unseen(self, runs: Runs) -> list[Unseen]:
        return [] if self.unseen is None else [self.unseen(*of_seed) for of_seed in self._by_seed(runs)]

    def _by_seed(self, runs: Runs) -> list[tuple[Run, ...]]:
        return list(zip(*(runs.of(arm) for arm in self.arms), strict=True))


@dataclass(frozen=True)
class IdentityPlan:
    """A case of an identity, which holds to rounding in every run or does not hold.

    Attributes:
        name, gloss, family, arms: As in :class:`CasePlan`.
        deviation: Function from the runs of one seed to the deviation from the identity, 0 or more.
        effect: Description of the deviation.
        unit: Unit of the deviation.
        rounding: Largest deviation that rounding may cause.
        if_it_holds: Outcome if the identity holds; otherwise it is the contrary.
    """

    name: str
    gloss: Bilingual
    family: Family
    arms: tuple[RunConfig, ...]
    deviation: Callable[..., float]
    effect: str
    unit: str
    rounding: float
    if_it_holds: Outcome = "shown"

    def holds(self, runs: Runs) -> bool:
        """Tell whether the identity holds in the runs of all seeds; a deviation that is not a number is too large."""
        return all(deviation <= self.rounding for deviation in self._deviations(runs))

    def result(self, runs: Runs) -> Case:
        """Return the outcome, with the largest deviation of all seeds."""
        worst = max(self._deviations(runs), key=lambda deviation: (math.isnan(deviation), deviation))
        effect = Effect(self.effect, self.unit, worst, worst, worst, LEVEL, len(runs.seeds))
        contrary: Outcome = "refuted" if self.if_it_holds == "shown" else "shown"
        found = self.if_it_holds if self.holds(runs) else contrary
        return Case(self.name, self.gloss, self.family, effect, self.rounding, found, exact=True)

    def _deviations(self, runs: Runs) -> list[float]:
        by_seed = zip(*(runs.of(arm) for arm in self.arms), strict=True)
        return [self.deviation(*of_seed) for of_seed in by_seed]


def _log(value: float) -> float:
    return math.log(value) if value > 0 or math.isnan(value) else -math.inf
