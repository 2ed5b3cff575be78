"""Learning rates and initial scales with which training works, judged on runs that were never made."""

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from normwise.records import ClaimResult, RunConfig, Verdict
from normwise.studies import Preset, claims_named, preset_named
from tests.studies.training.conftest import Pretended

Judged = Callable[..., ClaimResult]
Range = tuple[float, float]


def _key(config: RunConfig) -> str:
    return "hidden" if "hidden" in config.options else config.model


def _rates(bn: dict[str, Range], plain: Range, accuracy: float = 0.95) -> Callable[[RunConfig], Pretended]:
    """Train between two rates and diverge elsewhere: with BN, by network, and without."""

    def outcome(config: RunConfig) -> Pretended:
        low, high = bn.get(_key(config), bn.get("", plain)) if config.norm == "batch" else plain
        works = low <= config.lr <= high
        return Pretended(accuracy if works else 0.1, diverged=not works)

    return outcome


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (_rates({"": (0.05, 3.2)}, (0.05, 0.2)), "supported"),
        (_rates({"": (0.05, 0.2)}, (0.05, 3.2)), "not supported"),
        (_rates({"": (0.05, 3.2), "cnn_32": (0.05, 0.05)}, (0.0125, 0.2)), "depends"),
        (_rates({"": (0.05, 3.2), "cnn_32": (0.05, 1.6)}, (0.0125, 0.8)), "undecided"),
        (_rates({"": (0.05, 3.2)}, (0.05, 0.2), accuracy=0.3), "undecided"),
    ],
)
def test_the_highest_rate_decides(judged: Judged, outcome: Any, verdict: Verdict) -> None:
    assert judged("higher_learning_rate", outcome).verdict == verdict


def test_what_stands_behind_the_convolution_is_named_where_that_decides(judged: Judged) -> None:
    held = _rates({"": (0.05, 3.2), "cnn_32": (0.05, 0.05)}, (0.0125, 0.2))
    assert "reads the convolution" in judged("higher_learning_rate", held).reason.en
    other = _rates({"": (0.05, 3.2), "plain_mlp": (0.05, 0.05)}, (0.0125, 0.2))
    assert judged("higher_learning_rate", other).reason.en.startswith("it holds for 1 convolution")


def test_a_pooled_convolution_for_which_it_holds_leaves_what_reads_it_unnamed(judged: Judged) -> None:
    def outcome(config: RunConfig) -> Pretended:
        alone = config.model == "cnn_32" and not {"hidden", "pooled"} & set(config.options)
        high = (0.05 if alone else 3.2) if config.norm == "batch" else 0.2
        works = 0.05 <= config.lr <= high
        return Pretended(0.95 if works else 0.1, diverged=not works)

    result = judged("higher_learning_rate", outcome, preset="full")
    assert result.verdict == "depends"
    assert result.reason.en.startswith("it holds for")


def test_each_range_is_that_of_its_networks_own_rates(judged: Judged, quick: Preset) -> None:
    result = judged("higher_learning_rate", _rates({"": (0.003, 12.8)}, (0.003, 12.8)))
    assert "from 0.003 to 1.6" in result.cases[0].effect.note
    assert "from 0.0125 to 12.8" in result.cases[1].effect.note


def test_only_the_upper_end_of_the_sweep_makes_a_highest_rate_a_bound(judged: Judged) -> None:
    result = judged("higher_learning_rate", _rates({"": (0.003, 0.8)}, (0.05, 0.2)))
    assert not any("bound" in case.effect.note for case in result.cases)
    result = judged("higher_learning_rate", _rates({"": (0.003, 12.8)}, (0.05, 0.2)))
    assert all("a lower bound" in case.effect.note for case in result.cases)


def test_a_network_that_learns_nothing_fails_the_control(judged: Judged) -> None:
    reason = judged("higher_learning_rate", _rates({"": (0.05, 3.2)}, (0.05, 0.2), accuracy=0.3)).reason
    assert reason.en.startswith("the control failed")


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (_rates({"": (0.003, 3.2)}, (0.05, 0.2)), "supported"),
        (_rates({"": (0.2, 0.4)}, (0.05, 0.8)), "not supported"),
        (_rates({"": (0.003, 3.2), "cnn_32": (0.2, 0.2)}, (0.05, 0.8)), "depends"),
        (_rates({"": (0.0125, 0.8)}, (0.05, 0.8)), "undecided"),
        (_rates({"": (0.003, 12.8)}, (0.003, 0.2)), "undecided"),
    ],
)
def test_the_width_of_the_range_decides(judged: Judged, outcome: Any, verdict: Verdict) -> None:
    assert judged("lr_range", outcome).verdict == verdict


def test_a_range_without_bn_that_goes_on_beyond_the_sweep_fails_the_control(judged: Judged) -> None:
    result = judged("lr_range", _rates({"": (0.003, 12.8)}, (0.003, 0.2)))
    assert "end within the sweep" in result.reason.en
    assert "goes on beyond 0.003" in result.cases[0].effect.note


def test_claims_about_learning_rates_share_their_runs(quick: Preset) -> None:
    top, width = claims_named(("higher_learning_rate", "lr_range"))
    assert [run.key for run in top.runs(quick, lambda _: 0.1)] == [
        run.key for run in width.runs(quick, lambda _: 0.1)
    ]


def _scales(bn: dict[int, Range], plain: dict[int, Range]) -> Callable[[RunConfig], Pretended]:
    """Train between two initial scales, by depth."""

    def outcome(config: RunConfig) -> Pretended:
        low, high = (bn if config.norm == "batch" else plain)[int(config.options["depth"])]
        return Pretended(0.95 if low <= float(config.options["hidden_scale"]) <= high else 0.3)

    return outcome


_ALL, _ONE, _WIDE = (0.01, 10.0), (1.0, 1.0), (0.1, 3.0)


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (_scales({2: _ALL, 4: _ALL}, {2: _ONE, 4: _ONE}), "supported"),
        (_scales({2: _ONE, 4: _ONE}, {2: _WIDE, 4: _ALL}), "not supported"),
        (_scales({2: _ALL, 4: _ONE}, {2: _ONE, 4: _WIDE}), "depends"),
        (_scales({2: _WIDE, 4: _ALL}, {2: (0.3, 3.0), 4: _ONE}), "undecided"),
    ],
)
def test_the_range_of_scales_decides(judged: Judged, outcome: Any, verdict: Verdict) -> None:
    assert judged("initial_scale", outcome).verdict == verdict


def test_ranges_that_both_reach_an_end_of_the_sweep_are_not_compared(judged: Judged) -> None:
    result = judged("initial_scale", _scales({2: _ALL, 4: _ALL}, {2: _ALL, 4: _ONE}))
    assert [case.outcome for case in result.cases] == ["open", "shown"]
    assert math.isnan(result.cases[0].effect.estimate)
    assert result.reason.en.startswith("the budget ended before it could be told for 2 hidden layers")


@pytest.mark.parametrize("name", ["higher_learning_rate", "lr_range"])
def test_a_range_with_bn_that_goes_on_is_never_refuted(judged: Judged, name: str) -> None:
    result = judged(name, _rates({"": (3.2, 12.8)}, (0.0125, 3.2)), preset="full")
    dense = result.cases[0]
    assert (dense.name, dense.effect.high, dense.outcome) == ("dense_bn", math.inf, "open")


def test_a_range_without_bn_that_goes_on_never_shows_a_higher_rate(judged: Judged) -> None:
    result = judged("higher_learning_rate", _rates({"": (0.05, 0.4)}, (0.0125, 25.6)))
    assert [case.effect.low for case in result.cases] == [0.0] * 3
    assert result.verdict == "not supported"


def test_a_highest_rate_is_known_to_a_step_of_the_sweep(judged: Judged) -> None:
    result = judged("higher_learning_rate", _rates({"": (0.05, 0.4)}, (0.05, 0.4)))
    ends = {case.name: (case.effect.low, case.effect.high) for case in result.cases}
    assert ends["cnn_32"] == pytest.approx((0.5, 2))
    assert {case.outcome for case in result.cases} == {"open"}


def test_the_width_of_a_range_is_known_to_the_steps_at_both_its_ends(judged: Judged) -> None:
    result = judged("lr_range", _rates({"": (0.05, 0.4)}, (0.05, 0.4)))
    assert result.cases[0].effect.high == pytest.approx(math.log10(4) + math.log10(2))
    scales = judged("initial_scale", _scales({2: _ONE, 4: _ONE}, {2: _ONE, 4: _ONE}))
    assert scales.cases[0].effect.high == pytest.approx(math.log10(1 / 0.3) + math.log10(3))


def test_each_scale_and_form_has_a_rate_of_its_own(quick: Preset) -> None:
    (claim,) = claims_named(("initial_scale",))
    searches = claim.searches(quick)
    assert len({search.key for search in searches}) == len(searches) == 2 * 2 * 6


@pytest.mark.parametrize("name", ["higher_learning_rate", "lr_range", "initial_scale", "final_accuracy"])
@pytest.mark.parametrize("preset", ["quick", "full"])
def test_with_bn_and_without_the_same_is_run(name: str, preset: str) -> None:
    (claim,) = claims_named((name,))
    for plan in claim.cases(preset_named(preset), lambda search: search.rates[0]):
        middle = len(plan.arms) // 2
        for bn, plain in zip(plan.arms[:middle], plan.arms[middle:], strict=True):
            assert (bn.norm, plain.norm) == ("batch", "none")
            assert asdict(bn) | {"norm": ""} == asdict(plain) | {"norm": ""}
