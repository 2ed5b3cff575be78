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


def _scales_between(bn: tuple[float, float], plain: tuple[float, float]) -> Callable[[RunConfig], Outcome]:
    """Training with initial scales from the lower to the higher of the two."""

    def outcome(config: RunConfig) -> Outcome:
        low, high = bn if config.norm == "batch" else plain
        return {"accuracy": 0.95 if low <= float(config.options["init_scale"]) <= high else 0.5}

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


_REMEDIES = ("renorm", "group", "synchronised", "accumulated")


def _remedies(plain: float, **repaired: float) -> Callable[[RunConfig], Outcome]:
    """Accuracies of BN and of remedies at batch 2; elsewhere, and where nothing is said, 0.95."""

    def outcome(config: RunConfig) -> Outcome:
        kind = config.norm.partition(":")[0]
        if config.norm == "ghost:2":
            return {"accuracy": repaired.get("accumulated", 0.95)}
        if kind == "batch" and config.batch_size == 4:
            return {"accuracy": repaired.get("synchronised", 0.95)}
        if config.batch_size == 2:
            return {"accuracy": plain if kind == "batch" else repaired.get(kind, 0.95)}
        return {"accuracy": 0.95}

    return outcome


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


def _recurrent(batch: float, layer: float | list[float]) -> Callable[[RunConfig], Outcome]:
    """Final accuracies of BN between the layers and of LayerNorm, the latter by seed if a list; others have 0.5."""

    def outcome(config: RunConfig) -> Outcome:
        of_layer = layer[config.seed] if isinstance(layer, list) else layer
        return {"accuracy": {"batch": batch, "layer": of_layer}.get(config.norm, 0.5)}

    return outcome


def _padded(running: float, batch: float, masked: float = 0.9) -> Callable[[RunConfig], Outcome]:
    """Accuracies at the most padding without a mask, with running and with batch statistics; 0.9 with no padding."""

    def outcome(config: RunConfig) -> Outcome:
        ends = (masked, masked) if config.norm == "batch" else (running, batch)
        kinds = zip(("running", "batch"), ends, strict=True)
        return {
            "measured": {"padded_accuracy": {kind: {"1": 0.9, "2": 0.9, "8": end} for kind, end in kinds}}
        }

    return outcome


def _per_step(shared: float | list[float]) -> Callable[[RunConfig], Outcome]:
    """Accuracy 0.9 with statistics for each step, and as given, perhaps by seed, with shared ones."""

    def outcome(config: RunConfig) -> Outcome:
        of_shared = shared[config.seed] if isinstance(shared, list) else shared
        is_shared = config.norm == "recurrent_batch" and config.options["max_length"] == 1
        return {"accuracy": of_shared if is_shared else 0.9, "batch_accuracy": 0.9}

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
    # Without BN the range goes on beyond the sweep, nobody knows how far.
    ("initial_scale", "not supported", _scales_between(bn=(0.01, 30), plain=(1, 100))),
    ("initial_scale", "not supported", _scales_between(bn=(0.01, 30), plain=(0.001, 0.01))),
    ("initial_scale", "supported", _scales_between(bn=(0.001, 100), plain=(1, 30))),
    (
        "initial_scale",
        "depends",
        _only_on("dense_bn", _scales_between((0.01, 30), (1, 100)), _scales_between((0.01, 30), (1, 30))),
    ),
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
    # Networks that diverged have no outputs to compare.
    ("batch_independence", "depends", _dependence(running=float("nan"), batch=float("nan"))),
    ("useless_bias", "supported", _bias(difference=1e-12, gradient=1e-15)),
    ("useless_bias", "not supported", _bias(difference=1e-3, gradient=1e-15)),
    ("useless_bias", "not supported", _bias(difference=1e-12, gradient=1e-3)),
    # The bias makes the run diverge: the steps before say nothing.
    ("useless_bias", "not supported", _diverging_bias),
    # The control fails: a gradient that is zero without BN, too, says nothing about BN.
    ("useless_bias", "not supported", _bias(difference=1e-12, gradient=1e-15, control=1e-15)),
    ("useless_bias", "depends", _only_on("dense_bn", _bias(1e-12, 1e-15), _bias(1e-3, 1e-15))),
    ("recurrent_nets", "supported", _recurrent(batch=0.7, layer=0.8)),
    ("recurrent_nets", "not supported", _recurrent(batch=0.8, layer=0.7)),
    # LayerNorm leads on average, but not beyond its interval.
    ("recurrent_nets", "not supported", _recurrent(batch=0.7, layer=[0.69, 0.7, 0.8])),
    ("recurrent_nets", "depends", _only_on("speech_lstm", _recurrent(0.7, 0.8), _recurrent(0.8, 0.7))),
    ("padding", "supported", _padded(running=0.7, batch=0.5)),
    ("padding", "not supported", _padded(running=0.895, batch=0.895)),
    # With running statistics, which do not see the test's padding.
    ("padding", "depends", _padded(running=0.9, batch=0.5)),
    # A mask that does not help has repaired nothing.
    ("padding", "not supported", _padded(running=0.2, batch=0.2, masked=0.5)),
    ("small_batch_remedies", "supported", _remedies(0.5)),
    ("small_batch_remedies", "depends", _remedies(0.5, renorm=0.5)),
    ("small_batch_remedies", "depends", _remedies(0.5, accumulated=0.4, synchronised=0.5, group=0.3)),
    ("small_batch_remedies", "not supported", _remedies(0.5, **dict.fromkeys(_REMEDIES, 0.505))),
    # Nothing to repair.
    ("small_batch_remedies", "not supported", _remedies(0.945)),
    # What is repaired where there is nothing to repair does not count.
    ("small_batch_remedies", "supported", _only_on("dense_bn", _remedies(0.5), _remedies(0.945))),
    ("per_step_statistics", "supported", _per_step(shared=0.6)),
    ("per_step_statistics", "not supported", _per_step(shared=0.895)),
    ("per_step_statistics", "not supported", _per_step(shared=0.95)),
    ("per_step_statistics", "depends", _per_step(shared=[0.9, 0.88, 0.5])),
]


@pytest.mark.parametrize(("name", "verdict", "outcome"), _CASES)
@pytest.mark.parametrize("preset", ["quick", "full"])
def test_the_verdict_follows_from_the_numbers(
    pretend: Pretend, preset: str, name: str, verdict: Verdict, outcome: Callable[[RunConfig], Outcome]
) -> None:
    (claim,) = claims_named((name,))
    sizes = preset_named(preset)
    finding = claim.result(sizes, pretend(claim, sizes, outcome))
    assert finding.verdict == verdict
    assert finding.sentence


def test_a_target_that_is_never_reached_counts_with_the_whole_budget(quick: Preset, pretend: Pretend) -> None:
    (claim,) = claims_named(("fewer_steps",))

    def outcome(config: RunConfig) -> Outcome:
        return {"accuracy": 0.95 if config.norm == "batch" else 0.5, "reaches": config.eval_every}

    effect = claim.result(quick, pretend(claim, quick, outcome)).effects[1]
    network = quick.networks[0]
    assert effect.estimate == pytest.approx(network.steps / (network.eval_every / 2))
    assert "3 of 3 without BN never got there: a lower bound" in effect.note


def test_the_best_learning_rate_is_each_norms_own(quick: Preset, pretend: Pretend) -> None:
    (claim,) = claims_named(("fewer_steps",))

    def outcome(config: RunConfig) -> Outcome:
        best = 0.1 if config.norm == "batch" else 3.0
        return {"accuracy": 0.95, "reaches": (2 if config.lr == best else 9) * config.eval_every}

    effects = claim.result(quick, pretend(claim, quick, outcome)).effects
    assert [effect.estimate for effect in effects] == pytest.approx([1.0] * len(effects))
    assert effects[1].note == "learning rate 3 without BN, 0.1 with"


def test_where_every_learning_rate_diverges_nothing_is_usable(quick: Preset, pretend: Pretend) -> None:
    (claim,) = claims_named(("higher_learning_rate",))
    finding = claim.result(quick, pretend(claim, quick, _rates(bn=1, plain=0)))
    assert finding.effects[1].estimate == pytest.approx(1 / (0.001 / 3))
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

    assert claim.result(quick, pretend(claim, quick, outcome)).verdict == "supported"


def test_values_read_off_a_grid_are_no_more_certain_than_the_grid(quick: Preset, pretend: Pretend) -> None:
    (claim,) = claims_named(("higher_learning_rate",))
    effect = claim.result(quick, pretend(claim, quick, _rates(bn=10, plain=1))).effects[1]
    assert (effect.low, effect.high) == pytest.approx((10 / 3**0.5, 10 * 3**0.5))


def test_a_target_counts_as_reached_between_two_evaluations(quick: Preset, pretend: Pretend) -> None:
    (claim,) = claims_named(("fewer_steps",))
    overall, *effects = claim.result(quick, pretend(claim, quick, _steps(bn=5, plain=10))).effects
    left_open = (5 / 4.5) * (10 / 9.5)
    for effect in (overall, *effects):
        assert effect.estimate == pytest.approx(9.5 / 4.5)
        assert (effect.low, effect.high) == pytest.approx((9.5 / 4.5 / left_open, 9.5 / 4.5 * left_open))


def test_figure_1_is_no_more_certain_than_its_evaluations(pretend: Pretend) -> None:
    (claim,), full = claims_named(("fewer_steps",)), preset_named("full")
    effect = claim.result(full, pretend(claim, full, _steps(bn=5, plain=10))).effects[-1]
    assert effect.name.startswith("figure 1")
    assert effect.low == pytest.approx(9.5 / 4.5 / ((5 / 4.5) * (10 / 9.5)))


def test_a_target_that_holds_before_training_counts_as_reached_at_once(
    quick: Preset, pretend: Pretend
) -> None:
    (claim,) = claims_named(("fewer_steps",))
    effect = claim.result(quick, pretend(claim, quick, _steps(bn=0, plain=3))).effects[1]
    assert effect.estimate == pytest.approx(2.5 / 0.5)


def test_a_budget_that_ends_without_the_target_adds_nothing_to_the_interval(
    quick: Preset, pretend: Pretend
) -> None:
    (claim,) = claims_named(("fewer_steps",))
    effect = claim.result(quick, pretend(claim, quick, lambda _: {"accuracy": 0.5})).effects[1]
    assert (effect.low, effect.estimate, effect.high) == pytest.approx((1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("bn", "plain", "note", "said"),
    [
        ((0.01, 30), (1, 30), "1.5 decades without BN, 3.5 with", "by +2.0 decades on"),
        (
            (0.01, 30),
            (1, 100),
            "without BN still usable at 100, the end of the sweep: an upper bound",
            "by at most +1.5 decades on",
        ),
        (
            (0.001, 100),
            (1, 30),
            "with BN still usable at 0.001 and 100, the ends of the sweep: a lower bound",
            "by at least +3.5 decades on",
        ),
        (
            (0.001, 30),
            (1, 100),
            "without BN still usable at 100, the end of the sweep: an upper bound; "
            "with BN still usable at 0.001, the end of the sweep: a lower bound",
            "by as far as seen +2.5 decades on",
        ),
    ],
)
def test_a_range_that_the_sweep_cuts_off_is_said_to_be(
    quick: Preset,
    pretend: Pretend,
    bn: tuple[float, float],
    plain: tuple[float, float],
    note: str,
    said: str,
) -> None:
    (claim,) = claims_named(("initial_scale",))
    finding = claim.result(quick, pretend(claim, quick, _scales_between(bn, plain)))
    assert finding.effects[1].note.endswith(note)
    assert said in finding.sentence
    assert ("cuts off the range without BN on ioffe_mlp, dense_bn, mnist_cnn." in finding.sentence) == (
        "an upper bound" in note
    )
    assert ("an upper bound" in finding.effects[0].note) == ("an upper bound" in note)


def test_a_range_of_scales_is_no_more_certain_than_the_widest_step_where_it_ends(
    quick: Preset, pretend: Pretend
) -> None:
    (claim,) = claims_named(("initial_scale",))
    # Below 0.01 comes 0.001, a whole decade away.
    outcome = _scales_between(bn=(0.01, 10), plain=(1, 10))
    overall, *effects = claim.result(quick, pretend(claim, quick, outcome)).effects
    for effect in (overall, *effects):
        assert (effect.low, effect.high) == pytest.approx((1.5, 2.5))


def test_a_network_that_no_scale_trains_is_not_cut_off(quick: Preset, pretend: Pretend) -> None:
    (claim,) = claims_named(("initial_scale",))

    def outcome(config: RunConfig) -> Outcome:
        # The best of all that fail without BN is the last of the sweep.
        return {
            "accuracy": 0.95 if config.norm == "batch" else 0.1 + float(config.options["init_scale"]) / 1e4
        }

    finding = claim.result(quick, pretend(claim, quick, outcome))
    assert finding.verdict == "supported"
    assert "without BN no scale trained in some seed: 0 decades" in finding.effects[1].note


def test_an_end_of_the_sweep_of_learning_rates_that_is_still_usable_is_said_to_be(
    quick: Preset, pretend: Pretend
) -> None:
    (claim,) = claims_named(("higher_learning_rate",))

    def outcome(config: RunConfig) -> Outcome:
        usable = config.lr <= 100 if config.norm == "batch" else 0.01 <= config.lr <= 1
        return {"accuracy": 0.95 if usable else 0.1}

    finding = claim.result(quick, pretend(claim, quick, outcome))
    assert finding.effects[1].note == (
        "up to 1 without BN, 100 with; with BN still usable at 100, the end of the sweep: a lower bound; "
        "with BN still usable at 0.001, the lowest of the sweep"
    )
    assert "at least 100 times as high on ioffe_mlp" in finding.sentence
    assert finding.effects[0].note == "; ".join(f"a lower bound on {net.model}" for net in quick.networks)


def test_small_batches_says_what_a_run_that_diverged_counts_and_whose_learning_rate_it_is(
    quick: Preset, pretend: Pretend
) -> None:
    (claim,) = claims_named(("small_batches",))
    runs = pretend(claim, quick, _batches(running=0.5, recomputed=0.6, group=0.94))
    finding = claim.result(quick, runs)
    for text in (" ".join(finding.protocol), *(figure.caption for figure in finding.figures)):
        assert "it counts as 0%" in text
        assert "none was tuned for GroupNorm" in text


def test_a_hole_in_the_range_of_scales_ends_it(quick: Preset, pretend: Pretend) -> None:
    (claim,) = claims_named(("initial_scale",))

    def outcome(config: RunConfig) -> Outcome:
        scale = config.options["init_scale"]
        if config.norm == "none":
            return {"accuracy": 0.95 if scale == 1 else 0.1}
        return {"accuracy": {1.0: 0.96, 3.0: 0.1}.get(float(scale), 0.95)}

    effect = claim.result(quick, pretend(claim, quick, outcome)).effects[1]
    assert effect.estimate == pytest.approx(3.0)  # from 0.001 to 1: what lies beyond the hole does not count
