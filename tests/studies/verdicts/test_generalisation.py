"""Rules of the claims about generalisation, on runs that were never made."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

import pytest

from normwise.records import ClaimResult, RunConfig, Verdict, to_plain
from normwise.studies import Preset, claims_named, preset_named
from tests.support.studies.pretended_runs import Outcome

Judge = Callable[..., ClaimResult]

_LIGHTS = ("1", "0.7", "0.5", "0.35", "0.25", "mixed")


def _spread(seed: int) -> float:
    """Return a little noise that differs between seeds."""
    return 0.001 * (seed % 3 - 1)


def _in_light(*, clean: float = 0.95, **of_bn: float) -> Outcome:
    """Let BN have these accuracies in other light, by model or else by ``lit``; without BN 90%, in good light 95%."""

    def outcome(config: RunConfig) -> dict[str, Any]:
        lit = of_bn.get(config.model, of_bn["lit"]) if config.norm == "batch" else 0.90
        at = {light: clean if light == "1" else lit + _spread(config.seed) for light in _LIGHTS}
        measured = {"shifted_accuracy": {"running": at, "batch": at}}
        in_mixed = config.data.endswith("mixed-light")
        return {"accuracy": at["mixed"] if in_mixed else 0.95, "end": measured}

    return outcome


def _fitted(gain: Mapping[int, float], *, more_helps: bool = True, loss: float = 0.04) -> Outcome:
    """Let BN gain so much with so many samples; without BN accuracy grows with the samples, or not.

    The last of the judged seeds ends at ``loss`` without BN.
    """

    def outcome(config: RunConfig) -> dict[str, Any]:
        samples = config.train_samples or 0
        accuracy = 0.6 + (0.0001 * samples if more_helps else 0.0)
        bn = config.norm != "none"
        accuracy += gain.get(samples, 0.0) + _spread(config.seed) if bn else 0.0
        return {
            "accuracy": accuracy,
            "end": {"recomputed_accuracy": accuracy if bn else None},
            "loss": lambda _: 0.04 if bn or config.seed != 26 else loss,
        }

    return outcome


def _brightness(bn: float, per_image: float = 0.2, plain_mlp: float | None = None) -> Outcome:
    """Let BN and the norm over each image tell brightness so well; without a norm 70%."""

    def outcome(config: RunConfig) -> dict[str, Any]:
        with_bn = bn if config.model == "dense_bn" or plain_mlp is None else plain_mlp
        accuracy = {"none": 0.7, "batch": with_bn}.get(config.norm, per_image)
        return {"accuracy": accuracy + _spread(config.seed)}

    return outcome


def _dropping(without_bn: float, with_bn: float, by_seed: float = 0.0) -> Outcome:
    """Let dropout gain so much without BN and with, and in two of five seeds some more without."""

    def outcome(config: RunConfig) -> dict[str, Any]:
        gain = with_bn if config.norm == "batch" else without_bn + by_seed * (config.seed % 5 > 2)
        dropped = bool(config.options["dropout"])
        return {"accuracy": 0.7 + (gain if dropped else 0.0) + _spread(config.seed)}

    return outcome


def _order(regained: float, ratio: float) -> Outcome:
    """Let dropout in front of BN keep such a ratio of variances, and statistics anew regain so much."""

    def outcome(config: RunConfig) -> dict[str, Any]:
        before = config.options.get("dropout_place") == "between"
        noise = _spread(config.seed)
        recomputed = 0.9 + noise + (regained if before else 0.0)
        measured = {"recomputed_accuracy": recomputed, "kept_variance": ratio if before else 1.0 + noise}
        return {"accuracy": 0.9, "end": measured}

    return outcome


@pytest.mark.parametrize(
    ("name", "outcome", "verdict"),
    [
        ("input_shift", _in_light(lit=0.5), "supported"),
        ("input_shift", _in_light(lit=0.9), "not supported"),
        ("input_shift", _in_light(lit=0.5, mnist_cnn=0.9), "depends"),
        ("input_shift", _in_light(lit=0.5, clean=0.7), "undecided"),
        ("input_differences", _in_light(lit=0.94), "supported"),
        ("input_differences", _in_light(lit=0.7), "not supported"),
        ("input_differences", _in_light(lit=0.94, mnist_cnn=0.7), "depends"),
        ("regularisation", _fitted({200: 0.03, 1000: 0.03}), "supported"),
        ("regularisation", _fitted({}), "not supported"),
        ("regularisation", _fitted({200: 0.03}), "depends"),
        ("regularisation", _fitted({200: 0.03, 1000: 0.03}, more_helps=False), "undecided"),
        ("regularisation", _fitted({200: 0.03, 1000: 0.03}, loss=0.06), "undecided"),
        ("small_data", _fitted({50: 0.03, 20: 0.03, 100: 0.03}), "supported"),
        ("small_data", _fitted({50: 0.03, 1000: 0.03}), "not supported"),
        ("small_data", _fitted({20: 0.03}), "depends"),
        ("small_data", _fitted({50: 0.03, 20: 0.03, 100: 0.03}, more_helps=False), "undecided"),
        ("small_data", _fitted({50: 0.03, 20: 0.03, 100: 0.03}, loss=0.06), "undecided"),
        ("absolute_differences", _brightness(bn=0.5), "supported"),
        ("absolute_differences", _brightness(bn=0.8), "not supported"),
        ("absolute_differences", _brightness(bn=0.5, per_image=0.7), "undecided"),
        ("dropout_need", _dropping(without_bn=0.1, with_bn=0.02), "supported"),
        ("dropout_need", _dropping(without_bn=0.1, with_bn=0.15), "not supported"),
        ("dropout_need", _dropping(without_bn=0.0, with_bn=-0.1), "undecided"),
        ("dropout_need", _dropping(without_bn=0.1, with_bn=0.1, by_seed=0.05), "undecided"),
        ("dropout_order", _order(regained=0, ratio=0.5), "supported"),
        ("dropout_order", _order(regained=0, ratio=1), "not supported"),
        ("dropout_order_accuracy", _order(regained=0.03, ratio=0.5), "supported"),
        ("dropout_order_accuracy", _order(regained=0.0, ratio=0.5), "not supported"),
    ],
)
def test_verdicts(name: str, outcome: Outcome, verdict: Verdict, judge: Judge) -> None:
    (claim,) = claims_named((name,))
    assert judge(claim, outcome).verdict == verdict


def test_what_hurts_is_reversed_and_not_only_refuted(judge: Judge) -> None:
    (claim,) = claims_named(("small_data",))
    cases = judge(claim, _fitted({50: -0.05, 20: -0.05})).cases
    assert [case.outcome for case in cases] == ["reversed", "reversed", "refuted"]


def test_bn_counts_with_exact_statistics_where_it_is_stopped_early(judge: Judge) -> None:
    """Running averages of 30 steps are stale, which is no matter of regularisation."""

    def stale(config: RunConfig) -> dict[str, Any]:
        found = dict(_fitted({200: 0.03, 1000: 0.03})(config))
        return found | ({"accuracy": 0.3} if config.norm == "batch" else {})

    (claim,) = claims_named(("regularisation",))
    assert judge(claim, stale).verdict == "supported"


def test_bn_may_use_either_statistics_against_differences(judge: Judge) -> None:
    def outcome(config: RunConfig) -> dict[str, Any]:
        found = dict(_in_light(lit=0.5)(config))
        good = {light: 0.94 + _spread(config.seed) for light in _LIGHTS}
        if config.norm == "batch":
            running = found["end"]["shifted_accuracy"]["running"]
            found["end"] = {"shifted_accuracy": {"running": running, "batch": good}}
            found["by_batch"] = good["mixed"]
        return found

    (claim,) = claims_named(("input_differences",))
    assert judge(claim, outcome).verdict == "supported"


@pytest.mark.parametrize("preset", ["quick", "full"])
@pytest.mark.parametrize(
    ("name", "may_differ"),
    [
        ("input_shift", {"norm"}),
        ("input_differences", {"norm"}),
        ("regularisation", {"norm"}),
        ("small_data", {"norm", "train_samples", "eval_every"}),
        ("absolute_differences", {"norm"}),
        ("dropout_need", {"norm", "options"}),
        ("dropout_order", {"options"}),
        ("dropout_order_accuracy", {"options"}),
    ],
)
def test_arms_differ_in_what_is_compared_alone(name: str, may_differ: set[str], preset: str) -> None:
    (claim,) = claims_named((name,))
    for plan in claim.cases(preset_named(preset), lambda search: 0.1):
        first, *others = (to_plain(replace(arm, lr=1.0)) for arm in plan.arms)
        for other in others:
            assert {field for field in first if first[field] != other[field]} <= may_differ


def test_small_data_and_regularisation_share_their_runs(quick: Preset) -> None:
    few, many = (
        {config.key for config in claim.runs(quick, lambda search: 0.1)}
        for claim in claims_named(("small_data", "regularisation"))
    )
    # With BN and without, on 200 and on 1,000 images, five seeds.
    assert len(few & many) == 2 * 2 * len(quick.seeds)


def test_brightness_may_be_kept_by_some_networks_alone(judge: Judge) -> None:
    (claim,) = claims_named(("absolute_differences",))
    assert judge(claim, _brightness(bn=0.5, plain_mlp=0.7), preset="full").verdict == "depends"


def test_few_steps_are_said_with_the_effect(judge: Judge) -> None:
    (claim,) = claims_named(("absolute_differences",))
    of_each = {name: judge(claim, _brightness(bn=0.8), preset=name).takeaway for name in ("quick", "full")}
    assert "early in training, after 1,100 steps" in of_each["quick"].en
    assert "训练初期" in of_each["quick"].zh
    assert "early" not in of_each["full"].en


def test_very_few_samples_are_looked_at_after_every_step(quick: Preset) -> None:
    for claim in claims_named(("small_data", "regularisation")):
        for config in claim.runs(quick, lambda search: 0.1):
            assert config.eval_every == (1 if (config.train_samples or 0) <= 100 else 5)


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_both_have_more_steps_in_mixed_light_than_in_good(preset: str) -> None:
    (claim,) = claims_named(("input_differences",))
    good, mixed, *_ = claim.cases(preset_named(preset), lambda search: 0.1)
    assert {arm.steps for arm in mixed.arms} == {
        {"quick": 2, "full": 6}[preset] * arm.steps for arm in good.arms
    }


@pytest.mark.parametrize(
    ("light", "lost"), [("0.25", {"shown": 2, "refuted": 2}), ("mixed", {"shown": 2, "refuted": 2})]
)
def test_each_light_is_a_case_of_its_own(light: str, lost: Mapping[str, int], judge: Judge) -> None:
    def outcome(config: RunConfig) -> dict[str, Any]:
        found = dict(_in_light(lit=0.9)(config))
        if config.norm == "batch":
            found["end"]["shifted_accuracy"]["running"][light] = 0.5 + _spread(config.seed)
        return found

    (claim,) = claims_named(("input_shift",))
    assert Counter(case.outcome for case in judge(claim, outcome).cases) == lost


def test_effects_of_two_kinds_are_told_apart(judge: Judge) -> None:
    outcomes = {"small_data": _fitted({50: 0.03}), "input_differences": _in_light(lit=0.7)}
    for claim in claims_named(tuple(outcomes)):
        said = judge(claim, outcomes[claim.name]).takeaway
        assert said.en.count(": ") == said.zh.count("：") == 2


@pytest.mark.parametrize("verdict", get_args(Verdict))
def test_dropout_is_moved_only_where_its_place_matters(verdict: Verdict) -> None:
    (claim,) = claims_named(("dropout_order",))
    assert claim.advice(verdict).en.startswith("Put dropout behind") == (verdict == "supported")


@pytest.mark.parametrize("zh", [False, True])
@pytest.mark.parametrize("name", ["input_shift", "dropout_need", "small_data"])
def test_takeaways_have_the_measured_numbers(name: str, zh: bool, judge: Judge) -> None:
    outcome = {
        "input_shift": _in_light(lit=0.5),
        "dropout_need": _dropping(without_bn=0.1, with_bn=0.02),
        "small_data": _fitted({50: 0.03, 20: 0.03, 100: 0.03}),
    }[name]
    (claim,) = claims_named((name,))
    found = judge(claim, outcome)
    text = found.takeaway.zh if zh else found.takeaway.en
    assert f"{found.cases[0].effect.estimate:+.1f}" in text
