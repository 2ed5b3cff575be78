"""Runs that were never made: a configuration and the outcome that a test wants."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from normwise.records import ClaimResult, Environment, Point, Result, Run, RunConfig
from normwise.studies import Claim, preset_named
from normwise.studies.arms import Runs
from normwise.training.schedule import is_evaluated

#: What a run comes to, by its configuration: arguments of :func:`pretended_run`.
Outcome = Callable[[RunConfig], Mapping[str, Any]]


def judged(claim: Claim, outcome: Outcome, preset: str = "quick") -> ClaimResult:
    """Return the outcome of a claim where each run that it asks for, its searches included, came to ``outcome``."""
    size = preset_named(preset)
    searches = claim.searches(size)
    choosing = [
        pretended_run(config, **outcome(config)) for search in searches for config in search.runs(size)
    ]
    chosen = Runs(choosing, size.seeds, {})
    rates = {search.key: search.best(size, chosen) for search in searches}
    configs = claim.runs(size, lambda search: rates[search.key])
    judged_on = [pretended_run(config, **outcome(config)) for config in configs]
    return claim.result(size, Runs([*choosing, *judged_on], size.seeds, rates))


def pretended_run(
    config: RunConfig,
    accuracy: float = 0.95,
    reaches: int = 0,
    dips_to: float | None = None,
    diverged: bool = False,
    loss: Callable[[int], float] = lambda step: 1.0,
    test_loss: float = 1.0,
    points: Callable[[int], Mapping[str, Any]] = lambda step: {},
    end: Mapping[str, Any] | None = None,
    by_batch: float | None = None,
    steps: int | None = None,
) -> Run:
    """Return a finished run.

    Args:
        config: What it was asked for.
        accuracy: On the test set, from the step ``reaches`` on, and 10 % before.
        reaches: That step.
        dips_to: Accuracy at the last evaluation but one; None for no other.
        diverged: Whether it did.
        loss: Training loss, by the step of an evaluation.
        test_loss: At every evaluation.
        points: What measures gave, by the step of an evaluation.
        end: What measures gave at the end.
        by_batch: Accuracy with each batch's own statistics.
        steps: Steps it took; None for all.
    """
    config = replace(config, steps=steps) if steps is not None else config
    made = [
        Point(step, loss(step), test_loss, accuracy if step >= reaches else 0.1, points(step))
        for step in _evaluated(config.steps, config.eval_every, config.eval_growth)
    ]
    if dips_to is not None:
        made[-2] = replace(made[-2], test_accuracy=dips_to)
    result = Result(config.steps, diverged, made[-1].test_accuracy, by_batch, end or {})
    return Run(config, _HERE, tuple(made), result)


_HERE = Environment.here()


@functools.cache
def _evaluated(steps: int, every: int, growth: float) -> tuple[int, ...]:
    config = RunConfig("", "", "", steps, 1, 1.0, 0, every, eval_growth=growth)
    return tuple(step for step in range(steps + 1) if step == steps or is_evaluated(config, step))
