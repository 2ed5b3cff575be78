"""Deep networks with BN and without, judged on runs that were never made."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from normwise.records import ClaimResult, RunConfig, Verdict
from normwise.studies import Preset, claims_named, preset_named
from tests.studies.training.conftest import Pretended

Judged = Callable[..., ClaimResult]


def _depth(bn: float, default: float, he: float) -> Callable[[RunConfig], Pretended]:
    """End at an accuracy: with BN, and without by initial weights, a point more where the seed is odd."""

    def outcome(config: RunConfig) -> Pretended:
        plain = default if config.options["init"] == "default" else he
        return Pretended((bn if config.norm == "batch" else plain) + 0.01 * (config.seed % 2))

    return outcome


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (_depth(bn=0.95, default=0.1, he=0.5), "supported"),
        (_depth(bn=0.95, default=0.94, he=0.96), "not supported"),
        (_depth(bn=0.95, default=0.1, he=0.96), "depends"),
        (_depth(bn=0.95, default=0.1, he=0.85), "undecided"),
        (_depth(bn=0.4, default=0.1, he=0.1), "undecided"),
    ],
)
def test_the_accuracy_after_many_times_the_steps_decides(
    judged: Judged, outcome: Any, verdict: Verdict
) -> None:
    assert judged("trainable_depth", outcome).verdict == verdict


def test_without_bn_a_deep_network_has_many_times_the_steps(quick: Preset) -> None:
    (claim,) = claims_named(("trainable_depth",))
    for plan in claim.cases(quick, lambda search: search.rates[0]):
        bn, plain = plan.arms
        assert plain.steps == 6 * bn.steps
        assert (bn.norm, plain.norm) == ("batch", "none")
        assert bn.options == plain.options


def test_the_rate_from_default_weights_is_chosen_where_they_may_have_left_chance(quick: Preset) -> None:
    (claim,) = claims_named(("trainable_depth",))
    steps = {
        search.arm.options["init"]: search.arm.steps
        for search in claim.searches(quick)
        if search.arm.norm == "none"
    }
    assert steps == {"default": 480, "he": 160}


def test_the_take_away_begins_with_the_verdict(judged: Judged) -> None:
    said = judged("trainable_depth", _depth(bn=0.95, default=0.1, he=0.5)).takeaway
    assert said.en.startswith("Deep networks train with BN, and hardly without.")


def test_a_network_that_is_slow_is_shown_beside_at_equal_steps(judged: Judged, quick: Preset) -> None:
    def outcome(config: RunConfig) -> Pretended:
        return Pretended(reaches=0 if config.norm == "batch" else 101)

    result = judged("trainable_depth", outcome)
    assert result.verdict == "not supported"
    assert result.further[0].estimate == pytest.approx(85)


def _gradients(bn: dict[str, float], plain: dict[str, float]) -> Callable[[RunConfig], Pretended]:
    """Lose decades on the way back, by activation and initial weights, a tenth more where the seed is odd."""

    def outcome(config: RunConfig) -> Pretended:
        lost = bn if config.norm == "batch" else plain
        kind = f"{config.options['activation']}-{config.options['init']}"
        decades = lost.get(kind, lost.get("", 0.0)) + 0.1 * (config.seed % 2)
        depth = int(config.options["depth"])
        return Pretended(
            measured=[10 ** (-decades * (depth - 1 - layer) / (depth - 2)) for layer in range(depth)]
        )

    return outcome


@pytest.mark.parametrize(
    ("outcome", "prevents", "causes"),
    [
        (_gradients({"": -1.7}, {"": 6.0}), "supported", "not supported"),
        (_gradients({"": 5.0}, {"": 5.0}), "not supported", "supported"),
        (_gradients({"": 0.0}, {"": 6.0, "relu-he": 0.0}), "depends", "not supported"),
        (_gradients({"": 0.0, "tanh-default": 5.0}, {"": 6.0}), "undecided", "depends"),
        (_gradients({"": 0.0}, {"": 0.0}), "not supported", "undecided"),
    ],
)
def test_what_the_gradient_loses_on_its_way_back_decides(
    judged: Judged, outcome: Any, prevents: Verdict, causes: Verdict
) -> None:
    assert judged("gradient_flow", outcome).verdict == prevents
    assert judged("gradient_flow_through_bn", outcome).verdict == causes


def test_a_gradient_that_grows_on_its_way_back_is_not_counted_as_a_loss(judged: Judged) -> None:
    result = judged("gradient_flow", _gradients({"": -1.7}, {"": -3.0}))
    assert all(case.effect.estimate == 0 for case in result.cases)


def test_the_growth_of_the_gradient_is_told_by_layer(judged: Judged) -> None:
    result = judged("gradient_flow", _gradients({"": -1.8}, {"": 0.0}))
    growth = next(
        effect for effect in result.further if effect.name.startswith("ReLU with default weights, with BN")
    )
    assert growth.estimate == pytest.approx(10 ** ((1.8 - 0.04) / 18), rel=1e-6)


def test_the_take_away_says_before_training_and_what_gradients_grow_by(judged: Judged) -> None:
    said = judged("gradient_flow", _gradients({"": -1.8}, {"": 6.0})).takeaway
    assert said.en.startswith("Before training")
    assert said.zh.startswith("训练前")
    assert "each layer is 1.3 times" in said.en


def test_the_gradients_are_those_of_untrained_networks_that_differ_in_the_norm_alone(quick: Preset) -> None:
    (claim,) = claims_named(("gradient_flow",))
    for plan in claim.cases(quick, lambda search: 0.1):
        bn, plain = plan.arms
        assert asdict(bn) | {"norm": ""} == asdict(plain) | {"norm": ""}
        assert bn.steps == 1


def _forms(bn: float, plain: float, skip: float, spread: float = 0.0) -> Callable[[RunConfig], Pretended]:
    """End at an accuracy by form, without BN more by ``spread`` where the seed is odd."""

    def outcome(config: RunConfig) -> Pretended:
        if config.norm == "batch":
            return Pretended(bn)
        return Pretended((skip if config.options.get("skip_init") else plain) + spread * (config.seed % 2))

    return outcome


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (_forms(bn=0.98, plain=0.9, skip=0.95), "supported"),
        (_forms(bn=0.98, plain=0.975, skip=0.1), "not supported"),
        (_forms(bn=0.98, plain=0.95, skip=0.1, spread=0.03), "undecided"),
        (_forms(bn=0.5, plain=0.1, skip=0.1), "undecided"),
    ],
)
def test_the_best_form_without_bn_decides(judged: Judged, outcome: Any, verdict: Verdict) -> None:
    assert judged("indispensable", outcome).verdict == verdict


def test_of_the_forms_without_bn_the_best_counts(judged: Judged) -> None:
    result = judged("indispensable", _forms(bn=0.98, plain=0.1, skip=0.98), preset="full")
    assert result.verdict == "not supported"
    assert all(case.effect.estimate == 0 for case in result.cases)


def test_the_take_away_says_the_lead_after_equal_steps_too(judged: Judged) -> None:
    def outcome(config: RunConfig) -> Pretended:
        return Pretended(0.97, reaches=0 if config.norm == "batch" else 51)

    result = judged("indispensable", outcome)
    assert result.verdict == "not supported"
    assert "both after 6 times the steps: 0 points" in result.takeaway.en
    assert "After 50 steps each, +87.0 points" in result.takeaway.en
    assert "87.0 个百分点" in result.takeaway.zh


def test_bn_after_the_fewer_steps_stands_beside(judged: Judged) -> None:
    def outcome(config: RunConfig) -> Pretended:
        return Pretended(0.97, reaches=60 if config.norm == "batch" else 200)

    equal, fewer, _ = judged("indispensable", outcome).further
    assert equal.estimate == 0
    assert fewer.estimate == pytest.approx(-87)
    assert "both" not in fewer.name


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_residual_nets_with_bn_and_without_have_the_same_steps_and_digits(preset: str) -> None:
    (claim,) = claims_named(("indispensable",))
    size = preset_named(preset)
    for configs in (
        [arm for plan in claim.cases(size, lambda search: 0.1) for arm in plan.arms],
        [search.arm for search in claim.searches(size)],
    ):
        (same,) = {
            (one.steps, one.eval_every, one.data, one.train_samples, one.test_samples) for one in configs
        }
        assert same[2:] == ("digits", None, None)


def test_networks_without_bn_have_biases_and_weights_that_suit_them(quick: Preset) -> None:
    (claim,) = claims_named(("indispensable",))
    arms = [arm for plan in claim.cases(quick, lambda search: 0.1) for arm in plan.arms]
    assert all(arm.options["bias"] and arm.options["init"] == "he" for arm in arms)


def _final(bn: float, spread: float = 0.0) -> Callable[[RunConfig], Pretended]:
    return lambda config: Pretended(
        0.95 + (bn + spread * (config.seed % 2) if config.norm == "batch" else 0.0)
    )


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (_final(0.02), "supported"),
        (_final(0.001), "not supported"),
        (_final(-0.02), "not supported"),
        (_final(0.0, spread=0.02), "undecided"),
    ],
)
def test_the_accuracy_at_the_end_decides(judged: Judged, outcome: Any, verdict: Verdict) -> None:
    assert judged("final_accuracy", outcome).verdict == verdict


def test_final_accuracy_depends_on_the_network_where_one_gains(judged: Judged) -> None:
    def outcome(config: RunConfig) -> Pretended:
        return Pretended(0.99 if config.norm == "batch" and config.model == "plain_mlp" else 0.95)

    result = judged("final_accuracy", outcome, preset="full")
    assert result.verdict == "depends"
    assert "10 dense layers" in result.reason.en
