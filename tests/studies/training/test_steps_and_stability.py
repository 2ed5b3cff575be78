"""Steps to an accuracy and setbacks on the way, judged on runs that were never made."""

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from normwise.records import ClaimResult, RunConfig, Verdict
from normwise.studies import Preset, claims_named, preset_named
from tests.studies.training.conftest import Pretended

Judged = Callable[..., ClaimResult]


def _steps(bn: int, **plain: int) -> Callable[[RunConfig], Pretended]:
    """Reach the target at a step: with BN, and without by optimiser, more by as many as the seed is odd."""

    def outcome(config: RunConfig) -> Pretended:
        if config.norm == "batch":
            return Pretended(reaches=bn)
        return Pretended(reaches=plain[config.optimizer] + 2 * (config.seed % 2))

    return outcome


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (_steps(20, sgd=100, adam=100), "supported"),
        (_steps(20, sgd=16, adam=16), "not supported"),
        (_steps(20, sgd=100, adam=16), "depends"),
        (_steps(20, sgd=100, adam=24), "undecided"),
    ],
)
def test_the_ratio_of_steps_decides(judged: Judged, outcome: Any, verdict: Verdict) -> None:
    assert judged("fewer_steps", outcome).verdict == verdict


def test_a_form_that_never_arrives_counts_with_its_budget_and_is_noted_as_a_bound(judged: Judged) -> None:
    result = judged("fewer_steps", _steps(20, sgd=10_000, adam=100))
    assert "5 of 5 without BN never got there: a lower bound" in result.cases[0].effect.note
    assert result.cases[0].effect.estimate == pytest.approx(220 / 19, rel=0.01)
    assert result.cases[0].effect.high == math.inf


def test_a_network_that_never_arrives_without_bn_does_not_refute_it(judged: Judged) -> None:
    result = judged("fewer_steps", _steps(212, sgd=10_000, adam=100))
    assert result.cases[0].effect.estimate < 1.1
    assert result.cases[0].outcome == "open"


def test_a_seed_with_which_neither_form_arrives_leaves_its_network_open(judged: Judged) -> None:
    def outcome(config: RunConfig) -> Pretended:
        never = config.model == "dense_bn" and config.seed == 24
        return Pretended(reaches=10_000 if never else 20 if config.norm == "batch" else 100)

    result = judged("fewer_steps", outcome)
    assert result.verdict == "undecided"
    by_name = {case.name: case for case in result.cases}
    assert by_name["dense_bn, plain SGD"].outcome == "open"
    assert math.isnan(by_name["dense_bn, plain SGD"].effect.estimate)
    assert by_name["ioffe_mlp, plain SGD"].outcome == "shown"


def test_seconds_to_the_target_stand_beside(judged: Judged) -> None:
    result = judged("fewer_steps", _steps(20, sgd=100, adam=100))
    seconds = [effect for effect in result.further if "seconds" in effect.name]
    assert len(seconds) == 3
    assert seconds[0].estimate == pytest.approx(result.cases[0].effect.estimate / 2)


def test_the_time_of_a_step_is_measured_once_for_all_claims(quick: Preset) -> None:
    steps, cost = claims_named(("fewer_steps", "cost_time"))
    keys = [{run.key for run in claim.runs(quick, lambda search: 0.1)} for claim in (steps, cost)]
    timed = {run.key for run in steps.runs(quick, lambda search: 0.1) if run.measures}
    assert len(timed) == 3 * len(quick.seeds)
    assert timed <= keys[1]


def test_nothing_is_concluded_where_neither_form_arrives(judged: Judged) -> None:
    result = judged("fewer_steps", _steps(10_000, sgd=10_000, adam=10_000))
    assert result.verdict == "undecided"
    assert "reaches the target" in result.reason.en


def test_what_it_depends_on_is_named(judged: Judged) -> None:
    reason = judged("fewer_steps", _steps(20, sgd=100, adam=16)).reason
    assert "SGD" in reason.en
    assert "Adam" not in reason.en


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_the_forms_differ_in_the_norm_and_the_rate_alone(preset: str) -> None:
    (claim,) = claims_named(("fewer_steps",))
    for plan in claim.cases(preset_named(preset), lambda search: search.rates[0]):
        bn, plain = (asdict(arm) | {"norm": "", "lr": 0} for arm in plan.arms)
        assert bn == plain
        assert [arm.norm for arm in plan.arms] == ["batch", "none"]


def test_runs_that_choose_a_rate_may_end_early_and_those_that_are_judged_may_not(quick: Preset) -> None:
    (claim,) = claims_named(("fewer_steps",))
    assert all(search.arm.stop_at_loss == 0.1 for search in claim.searches(quick))
    runs = claim.runs(quick, lambda search: search.rates[0])
    assert all(run.stop_at_loss is None for run in runs)


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_stability_needs_no_runs_of_its_own(preset: str) -> None:
    steps, stability = claims_named(("fewer_steps", "stability"))
    keys = [
        {run.key for run in claim.runs(preset_named(preset), lambda search: search.rates[0])}
        for claim in (steps, stability)
    ]
    assert keys[0] > keys[1]


def test_a_narrow_residual_net_sees_all_of_the_small_digits() -> None:
    (claim,) = claims_named(("fewer_steps",))
    cases = claim.cases(preset_named("full"), lambda search: search.rates[0])
    arms = [arm for plan in cases if plan.name.startswith("resnet") for arm in plan.arms]
    assert {(arm.data, arm.train_samples, arm.test_samples) for arm in arms} == {("digits", None, None)}


def test_setbacks_of_networks_that_hardly_start_without_bn_are_not_compared() -> None:
    (claim,) = claims_named(("stability",))
    cases = claim.cases(preset_named("full"), lambda search: search.rates[0])
    assert not {"ioffe_mlp", "resnet"} & {arm.model for plan in cases for arm in plan.arms}


def test_the_full_study_has_setbacks_at_one_rate_for_both_forms_beside(judged: Judged) -> None:
    def outcome(config: RunConfig) -> Pretended:
        suits = 0.1 if config.norm == "batch" else 0.3
        return Pretended(
            0.9, reaches=2 if config.lr == suits else 20, dips_to=0.9 if config.lr == 0.1 else 0.8
        )

    result = judged("stability", outcome, preset="full")
    dense = next(effect for effect in result.further if effect.name.startswith("1 dense layer (plain SGD)"))
    assert result.cases[0].effect.estimate == pytest.approx(10)
    assert dense.estimate == 0


def test_the_full_study_has_figure_1_of_the_paper(judged: Judged) -> None:
    (claim,) = claims_named(("fewer_steps",))
    full = preset_named("full")
    figure_1 = [run for run in claim.runs(full, lambda search: search.rates[0]) if run.steps == 50_000]
    assert [(run.model, run.norm, run.batch_size, run.test_samples) for run in figure_1] == [
        ("ioffe_mlp", "batch", 60, None),
        ("ioffe_mlp", "none", 60, None),
    ]
    percentiles = [-1.0, 0.0, 1.0]
    result = judged("fewer_steps", lambda config: Pretended(measured=percentiles), preset="full")
    assert [figure.name for figure in result.figures][-3:] == [
        "fewer-steps-figure-1",
        "percentiles-none",
        "percentiles-batch",
    ]


def _dips(bn: float, **plain: float) -> Callable[[RunConfig], Pretended]:
    """Fall to an accuracy near the end: with BN, and without by network."""
    return lambda config: Pretended(
        accuracy=0.9, dips_to=(bn if config.norm == "batch" else plain.get(config.model, 0.9))
    )


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (_dips(0.9, dense_bn=0.8, mnist_cnn=0.8), "supported"),
        (_dips(0.89), "not supported"),
        (_dips(0.9, dense_bn=0.8), "depends"),
    ],
)
def test_the_largest_setback_decides(judged: Judged, outcome: Any, verdict: Verdict) -> None:
    assert judged("stability", outcome).verdict == verdict


def test_a_network_that_does_not_train_is_not_called_calm(judged: Judged) -> None:
    result = judged(
        "stability", lambda config: Pretended(0.95 if config.norm == "none" else 0.1, dips_to=0.1)
    )
    assert result.reason.en.startswith("the control failed")


def test_setbacks_that_differ_between_seeds_leave_it_open(judged: Judged) -> None:
    def outcome(config: RunConfig) -> Pretended:
        falls = config.norm == "none" and config.seed % 2
        return Pretended(accuracy=0.9, dips_to=0.8 if falls else 0.9)

    result = judged("stability", outcome)
    assert result.verdict == "undecided"
    assert result.reason.en.startswith("needs")
