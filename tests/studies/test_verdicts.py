"""Each rule, on numbers that must come out one way, the other way, and in between."""

from collections.abc import Callable
from typing import Any

import pytest

from normwise.records import Run, RunConfig, Verdict
from normwise.studies import Preset, claims_named, preset_named

Pretend = Callable[..., list[Run]]
Outcome = dict[str, Any]


def _steps(bn: int, plain: int, spread: int = 0) -> Callable[[RunConfig], Outcome]:
    """Reaching the target at so many evaluations, more or less by seed, whatever the learning rate."""

    def outcome(config: RunConfig) -> Outcome:
        count = bn if config.norm == "batch" else plain + spread * (config.seed - 1)
        return {"reaches": count * config.eval_every, "accuracy": 0.99}

    return outcome


def _rates(bn: float, plain: float) -> Callable[[RunConfig], Outcome]:
    """Training up to a learning rate, diverging above."""

    def outcome(config: RunConfig) -> Outcome:
        works = config.lr <= (bn if config.norm == "batch" else plain)
        return {"accuracy": 0.95 if works else 0.0, "diverged": not works}

    return outcome


def _scales(bn: float, plain: float) -> Callable[[RunConfig], Outcome]:
    """Training with initial scales from 1 / limit to the limit."""

    def outcome(config: RunConfig) -> Outcome:
        limit, scale = bn if config.norm == "batch" else plain, float(config.options["init_scale"])
        return {"accuracy": 0.95 if 1 / limit <= scale * 1.0001 and scale <= limit * 1.0001 else 0.5}

    return outcome


def _batches(running: float, recomputed: float, group: float) -> Callable[[RunConfig], Outcome]:
    """Accuracies at batch 2; elsewhere all have 0.95."""

    def outcome(config: RunConfig) -> Outcome:
        small = config.batch_size == 2
        accuracy = {"batch": running, "group": group}[config.norm] if small else 0.95
        return {"accuracy": accuracy, "measured": {"recomputed_accuracy": recomputed if small else 0.95}}

    return outcome


def _batches_by_seed(group: list[float]) -> Callable[[RunConfig], Outcome]:
    """BN at 0.6 at batch 2, GroupNorm as given per seed; elsewhere all have 0.95."""
    return lambda config: _batches(running=0.6, recomputed=0.6, group=group[config.seed])(config)


def _dependence(running: float, batch: float) -> Callable[[RunConfig], Outcome]:
    change = {
        "running": {"change": running, "flipped": 0.0},
        "batch": {"change": batch, "flipped": 0.1},
    }
    return lambda config: {"measured": {"batch_dependence": change}}


def _bias(difference: float, gradient: float, control: float = 1.0) -> Callable[[RunConfig], Outcome]:
    def outcome(config: RunConfig) -> Outcome:
        plain, bias = config.norm == "none", bool(config.options["bias"])
        loss = 1.0 + bias * (0.1 if plain else difference)
        return {
            "losses": [loss] * (config.steps + 1),
            "measured": {"bias_gradient": control if plain else gradient},
        }

    return outcome


def _diverging_bias(config: RunConfig) -> Outcome:
    outcome = _bias(difference=1e-16, gradient=1e-15)(config)
    if config.norm == "batch" and config.options["bias"]:
        return outcome | {"diverged": True, "losses": [1.0] * 5 + [float("nan")] * (config.steps - 4)}
    return outcome


def _only_on(model: str, there: Callable[[RunConfig], Outcome], elsewhere: Callable[[RunConfig], Outcome]):
    return lambda config: (there if config.model == model else elsewhere)(config)


_CASES: list[tuple[str, Verdict, Callable[[RunConfig], Outcome]]] = [
    ("fewer_steps", "supported", _steps(bn=2, plain=10)),
    ("fewer_steps", "not supported", _steps(bn=10, plain=2)),
    ("fewer_steps", "not supported", _steps(bn=5, plain=5)),
    # Fewer on average, but one seed says otherwise: the interval reaches below 1.
    ("fewer_steps", "not supported", _steps(bn=10, plain=12, spread=8)),
    ("fewer_steps", "depends", _only_on("dense_bn", _steps(bn=2, plain=10), _steps(bn=5, plain=5))),
    ("higher_learning_rate", "supported", _rates(bn=10, plain=1)),
    ("higher_learning_rate", "not supported", _rates(bn=1, plain=10)),
    ("higher_learning_rate", "not supported", _rates(bn=1, plain=1)),
    ("higher_learning_rate", "depends", _only_on("mnist_cnn", _rates(bn=1, plain=1), _rates(bn=3, plain=1))),
    ("initial_scale", "supported", _scales(bn=100, plain=3)),
    ("initial_scale", "not supported", _scales(bn=3, plain=100)),
    ("initial_scale", "not supported", _scales(bn=10, plain=10)),
    ("initial_scale", "depends", _only_on("ioffe_mlp", _scales(bn=100, plain=3), _scales(bn=3, plain=3))),
    ("small_batches", "supported", _batches(running=0.5, recomputed=0.6, group=0.94)),
    ("small_batches", "not supported", _batches(running=0.949, recomputed=0.95, group=0.94)),
    # GroupNorm suffers as much: then it is the small batch as such, and not BN.
    ("small_batches", "not supported", _batches(running=0.5, recomputed=0.5, group=0.4)),
    # GroupNorm leads on average, but not beyond its interval.
    ("small_batches", "not supported", _batches_by_seed([0.59, 0.58, 0.66])),
    # Recomputing mends it: then the running statistics are to blame, and not the training.
    ("small_batches", "depends", _batches(running=0.5, recomputed=0.95, group=0.94)),
    ("batch_independence", "supported", _dependence(running=1e-7, batch=0.5)),
    ("batch_independence", "not supported", _dependence(running=0.01, batch=0.5)),
    ("batch_independence", "depends", _dependence(running=1e-7, batch=1e-7)),
    ("useless_bias", "supported", _bias(difference=1e-12, gradient=1e-15)),
    ("useless_bias", "not supported", _bias(difference=1e-3, gradient=1e-15)),
    ("useless_bias", "not supported", _bias(difference=1e-12, gradient=1e-3)),
    # The bias makes the run diverge: the steps before say nothing.
    ("useless_bias", "not supported", _diverging_bias),
    # The control fails: a gradient that is zero without BN, too, says nothing about BN.
    ("useless_bias", "not supported", _bias(difference=1e-12, gradient=1e-15, control=1e-15)),
    ("useless_bias", "depends", _only_on("dense_bn", _bias(1e-12, 1e-15), _bias(1e-3, 1e-15))),
]


@pytest.mark.parametrize(("name", "verdict", "outcome"), _CASES)
@pytest.mark.parametrize("preset", ["quick", "full"])
def test_the_verdict_follows_from_the_numbers(
    pretend: Pretend, preset: str, name: str, verdict: Verdict, outcome: Callable[[RunConfig], Outcome]
) -> None:
    (claim,) = claims_named((name,))
    sizes = preset_named(preset)
    finding = claim.finding(sizes, pretend(claim, sizes, outcome))
    assert finding.verdict == verdict
    assert finding.sentence


def test_a_target_that_is_never_reached_counts_with_the_whole_budget(quick: Preset, pretend: Pretend) -> None:
    (claim,) = claims_named(("fewer_steps",))

    def outcome(config: RunConfig) -> Outcome:
        return {"accuracy": 0.95 if config.norm == "batch" else 0.5, "reaches": config.eval_every}

    effect = claim.finding(quick, pretend(claim, quick, outcome)).effects[1]
    network = quick.networks[0]
    assert effect.estimate == pytest.approx(network.steps / network.eval_every)
    assert "3 of 3 without BN never got there: a lower bound" in effect.note


def test_the_best_learning_rate_is_each_norms_own(quick: Preset, pretend: Pretend) -> None:
    (claim,) = claims_named(("fewer_steps",))

    def outcome(config: RunConfig) -> Outcome:
        best = 0.1 if config.norm == "batch" else 3.0
        return {"accuracy": 0.95, "reaches": (2 if config.lr == best else 9) * config.eval_every}

    effects = claim.finding(quick, pretend(claim, quick, outcome)).effects
    assert [effect.estimate for effect in effects] == pytest.approx([1.0] * len(effects))
    assert effects[1].note == "learning rate 3 without BN, 0.1 with"


def test_where_every_learning_rate_diverges_nothing_is_usable(quick: Preset, pretend: Pretend) -> None:
    (claim,) = claims_named(("higher_learning_rate",))
    finding = claim.finding(quick, pretend(claim, quick, _rates(bn=1, plain=0)))
    assert finding.effects[1].estimate == pytest.approx(1 / (0.01 / 3))
    assert "without BN no rate trained in some seed" in finding.effects[1].note


@pytest.mark.parametrize("name", ["higher_learning_rate", "initial_scale"])
def test_a_network_that_never_trains_without_bn_gets_no_credit_for_it(
    quick: Preset, pretend: Pretend, name: str
) -> None:
    (claim,) = claims_named((name,))

    def outcome(config: RunConfig) -> Outcome:
        works = (
            config.norm == "batch" and config.lr <= 10 and float(config.options.get("init_scale", 1)) <= 10
        )
        return {"accuracy": 0.97 if works else 0.1}

    assert claim.finding(quick, pretend(claim, quick, outcome)).verdict == "supported"


def test_values_read_off_a_grid_are_no_more_certain_than_the_grid(quick: Preset, pretend: Pretend) -> None:
    (claim,) = claims_named(("higher_learning_rate",))
    effect = claim.finding(quick, pretend(claim, quick, _rates(bn=10, plain=1))).effects[1]
    assert (effect.low, effect.high) == pytest.approx((10 / 3**0.5, 10 * 3**0.5))


def test_a_hole_in_the_range_of_scales_ends_it(quick: Preset, pretend: Pretend) -> None:
    (claim,) = claims_named(("initial_scale",))

    def outcome(config: RunConfig) -> Outcome:
        scale = config.options["init_scale"]
        if config.norm == "none":
            return {"accuracy": 0.95 if scale == 1 else 0.1}
        return {"accuracy": {1.0: 0.96, 3.0: 0.1}.get(float(scale), 0.95)}

    effect = claim.finding(quick, pretend(claim, quick, outcome)).effects[1]
    assert effect.estimate == pytest.approx(3.0)  # from 0.001 to 1: what lies beyond the hole does not count
