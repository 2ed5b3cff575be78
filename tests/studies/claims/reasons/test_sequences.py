"""Verdicts on networks for sequences."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from normwise.records import ClaimResult, RunConfig, Verdict
from normwise.studies import Claim, preset_named
from normwise.studies.claims.reasons.nlp import Nlp
from normwise.studies.claims.reasons.padding import Padding
from normwise.studies.claims.reasons.per_step_statistics import PerStepStatistics
from normwise.studies.claims.reasons.recurrent_nets import RecurrentNets, RecurrentNetsLayerNorm
from normwise.studies.claims.reasons.speech import Speech, SpeechVolume

Judge = Callable[..., ClaimResult]


def _ends(points: dict[str, float], steps: dict[str, int]) -> Callable[[RunConfig], dict[str, Any]]:
    """Return accuracies in percent by norm, and evaluations until they are reached."""

    def outcome(config: RunConfig) -> dict[str, Any]:
        return {
            "accuracy": (points[config.norm] + 0.1 * (config.seed % 3)) / 100,
            "reaches": steps[config.norm] * config.eval_every,
        }

    return outcome


BAD = _ends({"batch": 91, "none": 95}, {"batch": 7, "none": 2})
GOOD = _ends({"batch": 95, "none": 95}, {"batch": 2, "none": 5})
SLOW = _ends({"batch": 95, "none": 95}, {"batch": 7, "none": 2})
UNTRAINED = _ends({"batch": 10, "none": 10}, {"batch": 7, "none": 2})


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [(BAD, "supported"), (GOOD, "not supported"), (SLOW, "depends"), (UNTRAINED, "undecided")],
)
def test_bn_harms_recurrent_networks_where_they_end_lower_and_later(
    judge: Judge, outcome: Callable[[RunConfig], dict[str, Any]], expected: Verdict
) -> None:
    assert judge(RecurrentNets(), outcome).verdict == expected


@pytest.mark.parametrize(
    ("layer", "steps", "expected"),
    [(95.0, 2, "supported"), (91.0, 7, "not supported"), (91.0, 2, "depends")],
)
def test_layer_norm_is_better_where_it_ends_higher_and_sooner(
    judge: Judge, layer: float, steps: int, expected: Verdict
) -> None:
    points = {"batch": 91.0, "none": 91.0, "layer": layer, "recurrent_layer": layer}
    evaluations = {"batch": 7, "none": 7, "layer": steps, "recurrent_layer": steps}
    assert judge(RecurrentNetsLayerNorm(), _ends(points, evaluations)).verdict == expected


@pytest.mark.parametrize(
    ("batch", "layer", "expected"),
    [(2, 2, "supported"), (7, 7, "not supported"), (2, 7, "depends"), (5, 5, "undecided")],
)
def test_a_norm_makes_training_on_text_much_faster_from_half_as_many_steps_on(
    judge: Judge, batch: int, layer: int, expected: Verdict
) -> None:
    points = {"batch": 95.0, "none": 95.0, "layer": 95.0}
    steps = {"batch": batch, "none": 7, "layer": layer}
    assert judge(Nlp(), _ends(points, steps), "full").verdict == expected


def _padded(unmasked: dict[str, float], masked_most: float = 0.95) -> Callable[[RunConfig], dict[str, Any]]:
    def outcome(config: RunConfig) -> dict[str, Any]:
        wobble = 0.001 * (config.seed % 3)
        most = unmasked if config.norm == "batch_unmasked" else {"running": masked_most, "batch": masked_most}
        accuracies = {kind: {"1": 0.95, "8": value - wobble} for kind, value in most.items()}
        if config.norm == "batch":
            accuracies = {kind: {"1": 0.95, "8": value} for kind, value in most.items()}
        return {"end": {"padded_accuracy": accuracies}}

    return outcome


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (_padded({"running": 0.9, "batch": 0.5}), "supported"),
        (_padded({"running": 0.95, "batch": 0.95}), "not supported"),
        (_padded({"running": 0.95, "batch": 0.5}), "depends"),
        (_padded({"running": 0.9, "batch": 0.5}, masked_most=0.94), "undecided"),
    ],
)
def test_padding_harms_where_it_costs_accuracy_without_a_mask_alone(
    judge: Judge, outcome: Callable[[RunConfig], dict[str, Any]], expected: Verdict
) -> None:
    assert judge(Padding(), outcome).verdict == expected


@pytest.mark.parametrize(
    ("shared", "by_batch", "expected"),
    [
        (0.80, 0.95, "supported"),
        (0.95, 0.95, "not supported"),
        (0.943, 0.95, "undecided"),
        (0.80, 0.90, "undecided"),
    ],
)
def test_steps_need_statistics_of_their_own_where_shared_ones_cost_accuracy(
    judge: Judge, shared: float, by_batch: float, expected: Verdict
) -> None:
    def outcome(config: RunConfig) -> dict[str, Any]:
        is_shared = config.options["max_length"] == 1
        accuracy = shared - 0.002 * (config.seed % 3) if is_shared else 0.95
        return {"accuracy": accuracy, "by_batch": by_batch if is_shared else 0.95}

    assert judge(PerStepStatistics(), outcome).verdict == expected


def test_nothing_is_known_of_the_steps_where_neither_reaches_the_target(judge: Judge) -> None:
    below = {"batch": 70.0, "none": 70.0, "layer": 70.0}
    found = judge(Nlp(), _ends(below, {"batch": 2, "none": 7, "layer": 2}))
    assert {case.outcome for case in found.cases} == {"open"}
    assert all("never got there" in case.effect.note for case in found.cases)


@pytest.mark.parametrize(("missing", "outcome"), [("batch", "shown"), ("none", "refuted")])
def test_a_ratio_that_the_budget_cut_off_decides_only_what_a_bound_can(
    judge: Judge, missing: str, outcome: str
) -> None:
    # Without BN over with BN: where BN alone never arrives the ratio is at most so large, and never shown.
    points = {"batch": 95.0, "none": 95.0, "layer": 95.0, missing: 20.0}
    found = judge(Nlp(), _ends(points, {"batch": 6, "none": 6, "layer": 6}), "full")
    cases = [case for case in found.cases if case.name.endswith("BN")]
    assert cases
    assert all(case.is_bound and case.outcome != outcome for case in cases)


def test_steps_count_at_the_rate_that_is_soonest_and_accuracy_at_that_which_ends_highest(
    judge: Judge,
) -> None:
    def outcome(config: RunConfig) -> dict[str, Any]:
        slow = config.lr < 0.02
        return {"accuracy": 0.97 if slow else 0.93, "reaches": 40 if slow else 12}

    found = judge(RecurrentNets(), outcome)
    of_rows = [case for case in found.cases if case.name.startswith("row_lstm")]
    assert ["0.01" in case.effect.note for case in of_rows] == [True, False]
    assert "0.03" in of_rows[1].effect.note


@pytest.mark.parametrize("claim", [RecurrentNets(), RecurrentNetsLayerNorm(), Nlp()])
@pytest.mark.parametrize("preset", ["quick", "full"])
def test_steps_are_evaluated_closely_enough_to_tell_the_smallest_ratio(claim: Claim, preset: str) -> None:
    for case in claim.cases(preset_named(preset), lambda search: search.rates[-1]):
        assert all((arm.eval_every, arm.eval_growth) == (4, 0.1) for arm in case.arms)


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_both_choices_of_a_rate_are_made_from_the_same_runs(preset: str) -> None:
    sizes = preset_named(preset)
    of_choice = {
        by: {
            run.key
            for search in RecurrentNets().searches(sizes)
            if search.by == by
            for run in search.runs(sizes)
        }
        for by in ("accuracy", "steps")
    }
    assert of_choice["accuracy"] == of_choice["steps"]


@pytest.mark.parametrize("claim", [Padding(), PerStepStatistics()])
def test_seeds_that_are_judged_beyond_the_presets_follow_them(claim: Claim) -> None:
    full = preset_named("full")
    assert claim.seeds(full) == tuple(range(full.seeds[0], full.seeds[-1] + 4))


def test_bn_without_a_mask_has_a_rate_of_its_own_in_full() -> None:
    for preset, lr in (("quick", 0.01), ("full", 0.5)):
        sizes = preset_named(preset)
        masked, unmasked = (
            Padding()
            .cases(sizes, lambda search: 0.5 if search.arm.norm == "batch_unmasked" else 0.01)[0]
            .arms
        )
        assert (masked.lr, unmasked.lr) == (0.01, lr)


@pytest.mark.parametrize("claim", [Padding(), PerStepStatistics(), Speech(), SpeechVolume()])
def test_no_target_is_told_where_none_is_used(claim: Claim) -> None:
    assert "target" not in claim.protocol(preset_named("full"))[0]
    assert "target 70%" in Nlp().protocol(preset_named("full"))[0]


@pytest.mark.parametrize("claim", [RecurrentNets(), RecurrentNetsLayerNorm(), Nlp()])
@pytest.mark.parametrize("preset", ["quick", "full"])
def test_arms_differ_in_the_norm_alone(claim: Claim, preset: str) -> None:
    for case in claim.cases(preset_named(preset), lambda search: search.rates[-1]):
        one, other = case.arms
        differing = {name for name in asdict(one) if getattr(one, name) != getattr(other, name)}
        assert differing - {"measures"} == {"norm"}
