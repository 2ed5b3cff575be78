"""Runs that were never made: a configuration and the outcome that a test wants."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from normwise.records import ClaimResult, Environment, Point, Result, Run, RunConfig
from normwise.studies import Claim, Preset, preset_named
from normwise.studies.arms import Runs
from normwise.training.schedule import is_evaluated

#: What a run comes to, by its configuration; see :func:`_run`.
Outcome = Callable[[RunConfig], Mapping[str, Any]]


@pytest.fixture
def quick() -> Preset:
    return preset_named("quick")


@pytest.fixture
def pretend() -> Callable[[Claim, Preset, Outcome], Runs]:
    """All runs that a claim asks for, its searches included, each with what ``outcome(config)`` says."""
    return _pretend


@pytest.fixture
def judge() -> Callable[[Claim, Preset, Outcome], ClaimResult]:
    """The outcome of a claim on pretended runs."""
    return lambda claim, preset, outcome: claim.result(preset, _pretend(claim, preset, outcome))


def _pretend(claim: Claim, preset: Preset, outcome: Outcome) -> Runs:
    searches = claim.searches(preset)
    choosing = [_run(config, **outcome(config)) for search in searches for config in search.runs(preset)]
    chosen = Runs(choosing, preset.seeds, {})
    rates = {search.key: search.best(preset, chosen) for search in searches}
    configs = claim.runs(preset, lambda search: rates[search.key])
    judged = [_run(config, **outcome(config)) for config in configs]
    return Runs([*choosing, *judged], preset.seeds, rates)


def _run(
    config: RunConfig,
    accuracy: float = 0.95,
    reaches: int = 0,
    diverged: bool = False,
    loss: Callable[[int], float] = lambda step: 1.0,
    test_loss: float = 1.0,
    at_points: Mapping[str, Any] | None = None,
    measured: Mapping[str, Any] | None = None,
    batch_accuracy: float | None = None,
    steps: int | None = None,
) -> Run:
    """Return a finished run.

    Args:
        config: What it was asked for.
        accuracy: On the test set, from the step ``reaches`` on, and 10 % before.
        reaches: That step.
        diverged: Whether it did.
        loss: Training loss, by the step of an evaluation.
        test_loss: At every evaluation.
        at_points: What measures gave at every evaluation.
        measured: What measures gave at the end.
        batch_accuracy: With each batch's own statistics.
        steps: Steps it took; None for all.
    """
    config = replace(config, steps=steps) if steps is not None else config
    points = tuple(
        Point(step, loss(step), test_loss, accuracy if step >= reaches else 0.1, dict(at_points or {}))
        for step in _evaluated(config.steps, config.eval_every, config.eval_growth)
    )
    result = Result(config.steps, diverged, points[-1].test_accuracy, batch_accuracy, dict(measured or {}))
    return Run(config, _HERE, points, result)


_HERE = Environment.here()


@functools.cache
def _evaluated(steps: int, every: int, growth: float) -> tuple[int, ...]:
    config = RunConfig("", "", "", steps, 1, 1.0, 0, every, eval_growth=growth)
    return tuple(step for step in range(steps + 1) if step == steps or is_evaluated(config, step))
