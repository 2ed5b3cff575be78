"""Groups of runs: one configuration with each seed, and the choice of learning rates before."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from normwise.records import Run, RunConfig
from normwise.studies.judging.bounds import Unseen
from normwise.studies.preset import Preset


@dataclass(frozen=True)
class Search:
    """Choice of a learning rate, on separate seeds and on a part of the training set.

    Attributes:
        arm: Configuration to train; its learning rate and seed are ignored.
        rates: Learning rates to choose from.
        by: Criterion: the highest accuracy at the end, or the fewest steps to ``target`` (if equal, the highest
            accuracy).
        target: Accuracy to reach.
    """

    arm: RunConfig
    rates: tuple[float, ...]
    by: Literal["accuracy", "steps"] = "accuracy"
    target: float = math.nan

    def runs(self, preset: Preset) -> tuple[RunConfig, ...]:
        """Return a run for each rate and seed; none if there is only one rate."""
        if len(self.rates) == 1:
            return ()
        return tuple(config for rate in self.rates for config in self._at(rate, preset))

    def best(self, preset: Preset, found: "Runs") -> float:
        """Return the learning rate that is best on average over the seeds; the smallest of equal ones."""

        def merit(rate: float) -> tuple[float, float]:
            runs = [found.one(config) for config in self._at(rate, preset)]
            accuracy = fmean(accuracy_at_end(run) for run in runs)
            if self.by == "accuracy":
                return accuracy, 0.0
            return -fmean(math.log(steps_until(run, self.target)) for run in runs), accuracy

        return self.rates[0] if len(self.rates) == 1 else max(self.rates, key=merit)

    def _at(self, rate: float, preset: Preset) -> tuple[RunConfig, ...]:
        return tuple(
            replace(self.arm, lr=rate, seed=seed, split="validation") for seed in preset.tuning_seeds
        )

    @property
    def key(self) -> str:
        """Return an identifier of the search."""
        return f"{replace(self.arm, lr=1.0, seed=0).key} {self.rates} {self.by} {self.target}"


class Runs:
    """Finished runs, found by their configurations.

    Args:
        runs: All finished runs.
        seeds: Seeds that are judged.
        rates: Learning rates that were chosen, by the key of their search.
    """

    def __init__(self, runs: Iterable[Run], seeds: Sequence[int], rates: Mapping[str, float]):
        self._by_key = {run.config.key: run for run in runs}
        self.seeds, self._rates = tuple(seeds), dict(rates)

    def one(self, config: RunConfig) -> Run:
        """Return the run of a configuration."""
        return self._by_key[config.key]

    def of(self, arm: RunConfig) -> list[Run]:
        """Return the runs of a configuration with each seed that is judged, in the seeds' order."""
        return [self.one(config) for config in with_seeds(arm, self.seeds)]

    def judged_on(self, seeds: Sequence[int]) -> "Runs":
        """Return the same runs, judged on other seeds."""
        return Runs(self._by_key.values(), seeds, self._rates)

    def rate(self, search: Search) -> float:
        """Return the learning rate that a search has chosen."""
        return self._rates[search.key]


def with_seeds(arm: RunConfig, seeds: Iterable[int]) -> tuple[RunConfig, ...]:
    """Return the configuration once with each seed."""
    return tuple(replace(arm, seed=seed) for seed in seeds)


def accuracy_at_end(run: Run) -> float:
    """Return the mean test accuracy of the last three evaluations, of a run that diverged the last one's.

    One evaluation of a few hundred samples moves by a point from step to step.
    """
    points = run.points[-1:]
    if run.result is not None and not run.result.diverged:
        # Step 0, before any training, tells nothing of the end.
        points = tuple(point for point in run.points[-3:] if point.step > 0) or points
    return fmean(point.test_accuracy for point in points)


def accuracy_after(run: Run, steps: int) -> float:
    """Return the test accuracy of the last evaluation up to a number of steps."""
    return [point.test_accuracy for point in run.points if point.step <= steps][-1]


def reached(run: Run, target: float) -> bool:
    """Tell whether an evaluation saw the target accuracy."""
    return any(point.test_accuracy >= target for point in run.points)


def unseen_steps(one: Run, other: Run, target: float) -> Unseen:
    """Return what the budget has left unseen of the ratio of steps to the target, of one run over another."""
    return Unseen(below=not reached(other, target), above=not reached(one, target))


def steps_until(run: Run, target: float) -> float:
    """Return the steps to the target accuracy: the geometric middle between two evaluations, or the whole budget.

    Step 0, before any training, counts as the first evaluation after it: no steps have no ratio.
    """
    low, high = steps_between(run, target)
    return math.sqrt(low * high)


def steps_between(run: Run, target: float) -> tuple[float, float]:
    """Return the last evaluation before the target accuracy, half a step at least, and the first that saw it."""
    steps = [point.step for point in run.points]
    for index, point in enumerate(run.points):
        if point.test_accuracy >= target:
            after = max(index, 1)
            return max(steps[after - 1], 0.5), float(steps[after])
    return float(run.config.steps), float(run.config.steps)
