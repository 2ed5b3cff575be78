"""Verdicts on covariate shift, and on BN's speed by it."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from normwise.records import ClaimResult, Environment, Point, Run, RunConfig, Verdict
from normwise.studies import preset_named
from normwise.studies.claims.reasons.covariate_shift import CovariateShift, CovariateShiftSpeed
from normwise.studies.claims.training.fewer_steps import FewerSteps
from normwise.studies.judging.drift import drift

Judge = Callable[..., ClaimResult]


def _shifted(by: float) -> Callable[[int], dict[str, Any]]:
    """Return moments that move by so many deviations from step to step."""
    return lambda step: {"activation_moments": [{"mean": [by * step] * 2, "deviation": [1.0, 1.0]}]}


def _outcome(
    shifts: dict[str, float], steps: dict[str, dict[str, int]] | None = None
) -> Callable[[RunConfig], dict[str, Any]]:
    def outcome(config: RunConfig) -> dict[str, Any]:
        if config.measures:
            moments = _shifted(shifts[config.norm] * (1 + 0.01 * config.seed))
            return {"points": moments, "end": {"gradient_turn": 0.9}}
        if steps is None:
            return {}
        return {"reaches": steps[config.model][config.norm] + 2 * (config.seed % 2)}

    return outcome


@pytest.mark.parametrize(
    ("none", "noisy", "expected"),
    [(0.1, 0.4, "supported"), (0.02, 0.4, "not supported"), (0.1, 0.03, "undecided")],
)
def test_less_shift_with_bn_shows_where_the_measure_sees_what_noise_puts_back(
    judge: Judge, none: float, noisy: float, expected: Verdict
) -> None:
    found = judge(CovariateShift(), _outcome({"batch": 0.02, "noisy_batch": noisy, "none": none}))
    assert found.verdict == expected
    if expected == "undecided":
        assert "the control failed" in found.reason.en


SLOW, FAST = {"batch": 40, "noisy_batch": 120, "none": 200}, {"batch": 40, "noisy_batch": 40, "none": 200}


@pytest.mark.parametrize(
    ("sigmoid", "relu", "expected"),
    [
        (SLOW, SLOW, "supported"),
        (FAST, FAST, "not supported"),
        (FAST, SLOW, "depends"),
        (SLOW | {"none": 40}, SLOW, "undecided"),
    ],
)
def test_bn_is_faster_by_less_shift_where_shift_that_is_put_back_slows_it(
    judge: Judge, sigmoid: dict[str, int], relu: dict[str, int], expected: Verdict
) -> None:
    shifts = {"batch": 0.02, "noisy_batch": 0.4, "none": 0.1}
    found = judge(CovariateShiftSpeed(), _outcome(shifts, {"ioffe_mlp": sigmoid, "dense_bn": relu}))
    assert found.verdict == expected


def test_arms_differ_in_norm_rate_and_budget_alone() -> None:
    quick = preset_named("quick")
    (case, *_) = CovariateShiftSpeed().cases(quick, lambda search: search.rates[0])
    noisy, batch = case.arms
    same = {"norm", "steps"}
    assert {name for name in asdict(noisy) if getattr(noisy, name) != getattr(batch, name)} <= same
    assert (noisy.norm, batch.norm) == ("noisy_batch", "batch")


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_rates_with_bn_and_without_are_those_of_fewer_steps(preset: str) -> None:
    sizes = preset_named(preset)
    shared = {search.key for search in FewerSteps().searches(sizes)}
    own = {search.arm.norm for search in CovariateShift().searches(sizes) if search.key not in shared}
    assert own == {"noisy_batch"}


def test_drift_is_the_distance_of_gaussians_in_deviations() -> None:
    config = CovariateShift().runs(preset_named("quick"), lambda search: search.rates[0])[0]
    moments = [
        {"activation_moments": [{"mean": [0.0, 0.0], "deviation": [2.0, 2.0]}]},
        {"activation_moments": [{"mean": [1.0, 0.0], "deviation": [2.0, 2.0]}]},
    ]
    points = tuple(Point(step, 1.0, 1.0, 0.5, measured) for step, measured in enumerate(moments))
    # The squares of the changes are 1 and 0, their mean 1/2; the deviation is 2.
    assert drift(Run(config, Environment.here(), points, None)) == pytest.approx(0.5**0.5 / 2)
