"""Runs that were never made: a configuration and the outcome that a test wants."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from normwise.records import Environment, Point, Result, Run, RunConfig
from normwise.studies import Claim, Preset, preset_named


@pytest.fixture
def quick() -> Preset:
    return preset_named("quick")


@pytest.fixture
def pretend() -> Callable[..., list[Run]]:
    """All runs that a claim asks for, each with what ``outcome(config)`` says.

    ``outcome`` gives a dict with any of: ``accuracy`` (final), ``reaches`` (the step from which that
    accuracy holds), ``diverged``, ``losses`` (of all steps), ``measured``, ``batch_accuracy`` (with batch statistics).
    """

    def make(claim: Claim, preset: Preset, outcome: Callable[[RunConfig], dict[str, Any]]) -> list[Run]:
        return [_run(config, **outcome(config)) for config in claim.runs(preset)]

    return make


def _run(
    config: RunConfig,
    accuracy: float = 0.95,
    reaches: int = 0,
    diverged: bool = False,
    losses: Sequence[float] = (),
    measured: dict[str, Any] | None = None,
    batch_accuracy: float | None = None,
) -> Run:
    steps = range(0, config.steps + 1, config.eval_every)
    every = {"input_percentiles": [-1.0, 0.0, 1.0]} if "input_percentiles" in config.measures else {}
    points = tuple(
        Point(
            step=step,
            loss=losses[step] if losses else 1.0,
            test_loss=1.0,
            test_accuracy=accuracy if step >= reaches else 0.1,
            measured=every,
        )
        for step in steps
    )
    result = Result(config.steps, diverged, accuracy, batch_accuracy, measured or {})
    return Run(config, Environment.here(), points, result)
