"""Judgement of claims about training on runs that were never made."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from normwise.records import ClaimResult, Environment, Point, Result, Run, RunConfig
from normwise.studies import Preset, claims_named, preset_named
from normwise.studies.arms import Runs, Search


@dataclass(frozen=True)
class Pretended:
    """How a run went: its accuracy from some step on, whether it diverged, and what was measured at each point."""

    accuracy: float = 0.95
    reaches: int = 0
    diverged: bool = False
    dips_to: float | None = None
    measured: Any = None


#: What is measured at the end: a step with BN takes twice the time.
_COST = "cost"
Outcome = Callable[[RunConfig], Pretended]
Judged = Callable[..., ClaimResult]


@pytest.fixture
def judged() -> Judged:
    """Return the result of a claim whose runs go as ``outcome(config)`` says.

    Chosen is the rate of ``rate(search)``, else the second one of each search. ``preset`` is "quick" or "full".
    """

    def judge(
        name: str, outcome: Outcome, *, preset: str = "quick", rate: Callable[[Search], float] | None = None
    ) -> ClaimResult:
        (claim,), size = claims_named((name,)), preset_named(preset)
        chosen = rate or (lambda search: search.rates[1])
        configs = claim.runs(size, chosen)
        rates = {search.key: chosen(search) for search in claim.searches(size)}
        return claim.result(
            size, Runs([_run(config, outcome(config)) for config in configs], size.seeds, rates)
        )

    return judge


@pytest.fixture
def quick() -> Preset:
    return preset_named("quick")


def _run(config: RunConfig, how: Pretended) -> Run:
    points = [_point(config, how, step) for step in _steps(config)]
    if how.dips_to is not None:
        last = points[-2]
        points[-2] = Point(last.step, last.loss, last.test_loss, how.dips_to, last.measured)
    measured = {_COST: {"step": {"batch": 2.0, "none": 1.0}}} if _COST in config.measures else {}
    result = Result(config.steps, how.diverged, how.accuracy, None, measured)
    return Run(config, Environment.here(), tuple(points), result)


def _steps(config: RunConfig) -> Sequence[int]:
    return sorted({*range(0, config.steps, config.eval_every), config.steps})


def _point(config: RunConfig, how: Pretended, step: int) -> Point:
    measured = {} if _COST in config.measures else dict.fromkeys(config.measures, how.measured)
    return Point(step, 1.0, 1.0, how.accuracy if step >= how.reaches else 0.1, measured)
