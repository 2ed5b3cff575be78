"""Verdicts on covariate shift, and on BN's speed by it."""

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, get_args

import pytest

from normwise.records import ClaimResult, Environment, Point, Run, RunConfig, Verdict
from normwise.studies import Claim, preset_named
from normwise.studies.arms import Search
from normwise.studies.claims.reasons.covariate_shift import CovariateShift
from normwise.studies.claims.reasons.covariate_shift_speed import CovariateShiftSpeed
from normwise.studies.claims.training.fewer_steps import FewerSteps
from normwise.studies.judging.drift import drift

Judge = Callable[..., ClaimResult]


def _shifted(by: float) -> Callable[[int], dict[str, Any]]:
    """Return percentiles that move by so many deviations from step to step."""
    return lambda step: {
        "activation_percentiles": [{"percentiles": [by * step] * 6, "deviation": [1.0, 1.0]}]
    }


def _outcome(
    shifts: dict[str, float], steps: dict[str, dict[str, int]] | None = None
) -> Callable[[RunConfig], dict[str, Any]]:
    def outcome(config: RunConfig) -> dict[str, Any]:
        if config.measures:
            moments = _shifted(shifts[config.norm] * (1 + 0.01 * (config.seed % 3)))
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


def test_without_bn_the_shift_is_measured_at_the_rate_that_suits_bn() -> None:
    quick, full = preset_named("quick"), preset_named("full")

    def rate(search: Search) -> float:
        return {"batch": 0.3, "noisy_batch": 0.1, "none": 3.0}[search.arm.norm]

    for plan in CovariateShift().cases(quick, rate):
        assert [(arm.norm, arm.lr) for arm in plan.arms] == [("none", 0.3), ("batch", 0.3)]
    beside = {(arm.norm, arm.lr) for arm in CovariateShift().beside(full, rate)}
    assert ("none", 3.0) in beside


def test_a_run_that_diverged_has_no_shift_and_leaves_the_verdict_open(judge: Judge) -> None:
    def outcome(config: RunConfig) -> dict[str, Any]:
        found = _outcome({"batch": 0.02, "noisy_batch": 0.4, "none": 0.1})(config)
        if not config.measures or config.norm != "none" or config.seed != preset_named("quick").seeds[1]:
            return found
        lost = {"activation_percentiles": [{"percentiles": [None] * 6, "deviation": [None, None]}]}
        return {
            "points": lambda step: lost if step > 3 else found["points"](step),
            "end": {"gradient_turn": None},
        }

    found = judge(CovariateShift(), outcome)
    assert found.verdict == "undecided"
    assert all(math.isnan(case.effect.estimate) for case in found.cases)
    curves = {series.label: series for series in found.figures[0].series}
    assert len(curves["without BN"].x) == 3
    assert all(map(math.isfinite, curves["without BN"].y))


def test_santurkars_measure_tells_where_it_disagrees(judge: Judge) -> None:
    def outcome(config: RunConfig) -> dict[str, Any]:
        found = _outcome({"batch": 0.02, "noisy_batch": 0.4, "none": 0.1})(config)
        turn = 0.9 if config.norm == "batch" and config.model == "ioffe_mlp" else 0.95
        return {**found, "end": {"gradient_turn": turn}} if config.measures else found

    notes = [effect.note for effect in judge(CovariateShift(), outcome).further]
    assert ["more shift" in note for note in notes] == [True, False, False, False, False, False]


def test_steps_are_evaluated_closely_enough_to_tell_the_smallest_ratio() -> None:
    full = preset_named("full")
    for plan in CovariateShiftSpeed().cases(full, lambda search: search.rates[0]):
        assert all(arm.eval_growth <= 0.1 and arm.stop_at_loss is None for arm in plan.arms)


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_runs_to_the_target_with_bn_and_without_are_those_of_fewer_steps(preset: str) -> None:
    sizes = preset_named(preset)

    def keys(claim: Claim) -> set[str]:
        return {arm.key for arm in claim.runs(sizes, lambda search: search.rates[0]) if not arm.measures}

    own = keys(CovariateShiftSpeed()) - keys(FewerSteps())
    assert len(own) == len(sizes.seeds) * len(
        CovariateShiftSpeed().cases(sizes, lambda search: search.rates[0])
    )


def test_only_what_was_refuted_is_advised_against() -> None:
    advice = {found: CovariateShiftSpeed().advice(found).en for found in get_args(Verdict)}
    assert advice["undecided"] == advice["depends"]
    assert advice["undecided"] != advice["not supported"]


def test_drift_is_the_distance_of_percentiles_in_deviations() -> None:
    config = CovariateShift().runs(preset_named("quick"), lambda search: search.rates[0])[0]
    measured = [
        {"activation_percentiles": [{"percentiles": [-1.0, 0.0, 1.0], "deviation": [2.0]}]},
        {"activation_percentiles": [{"percentiles": [-1.0, 0.0, 2.0], "deviation": [2.0]}]},
    ]
    points = tuple(Point(step, 1.0, 1.0, 0.5, of_step) for step, of_step in enumerate(measured))
    # The squares of the changes are 0, 0 and 1, their mean 1/3; the deviation is 2.
    assert drift(Run(config, Environment.here(), points, None)) == pytest.approx((1 / 3) ** 0.5 / 2)
