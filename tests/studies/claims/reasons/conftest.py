"""A claim's outcome on runs that were never made."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from normwise.records import ClaimResult, Environment, Point, Result, Run, RunConfig
from normwise.studies import Claim, preset_named
from normwise.studies.arms import Runs

#: What a run gave: ``accuracy``, from the step ``reaches`` on; ``points`` and ``end``, what measures gave at each
#: evaluation and at the end; ``by_batch``, the accuracy with batch statistics.
Outcome = Callable[[RunConfig], dict[str, Any]]


@pytest.fixture
def judge() -> Callable[..., ClaimResult]:
    """Return a claim's outcome where each of its runs gave what ``outcome`` says, the chosen rates being the first."""

    def result(claim: Claim, outcome: Outcome, preset: str = "quick") -> ClaimResult:
        size = preset_named(preset)
        rates = {search.key: search.rates[0] for search in claim.searches(size)}
        runs = [
            _run(config, **outcome(config)) for config in claim.runs(size, lambda search: rates[search.key])
        ]
        return claim.result(size, Runs(runs, claim.seeds(size), rates))

    return result


def _run(
    config: RunConfig,
    accuracy: float = 0.95,
    reaches: int = 0,
    points: Callable[[int], dict[str, Any]] = lambda step: {},
    end: dict[str, Any] | None = None,
    by_batch: float | None = None,
) -> Run:
    steps: Sequence[int] = range(0, config.steps + 1, config.eval_every)
    made = tuple(Point(step, 1.0, 1.0, accuracy if step >= reaches else 0.1, points(step)) for step in steps)
    return Run(config, Environment.here(), made, Result(config.steps, False, accuracy, by_batch, end or {}))
