"""Verdicts on the use of BN, on numbers that must come out one way, the other way, and in between."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from normwise.records import ClaimResult, RunConfig, Verdict
from normwise.studies import Preset, claims_named, preset_named
from tests.support.studies.pretended_runs import Outcome

Judge = Callable[..., ClaimResult]


def _noise(config: RunConfig, size: float = 0.001) -> float:
    """Return what a seed adds to an accuracy: of seeds 2 to 6 the mean is 0."""
    return size * ((3 * config.seed) % 5 - 2)


def _wild(outcome: Outcome) -> Outcome:
    """Return the same with seeds that contradict each other."""

    def noisy(config: RunConfig) -> Mapping[str, Any]:
        found = dict(outcome(config))
        sign = 1 if config.norm == "batch" and config.batch_size not in (2, 128) else -1
        found["accuracy"] = found.get("accuracy", 0.8) + sign * _noise(config, 0.05)
        return found

    return noisy


# --- statistics at inference


def _recomputed(
    gain: float, small_gain: float | None = None, never: float = 0.3, short_gain: float = 0.0
) -> Outcome:
    """Accuracy 0.9; more by so much with exact statistics, perhaps more after small batches; and as given unkept."""

    def outcome(config: RunConfig) -> Mapping[str, Any]:
        if config.norm == "batch:momentum=0":
            return {"accuracy": never}
        exact = (
            0.9 + (small_gain if config.batch_size == 8 and small_gain is not None else gain) + _noise(config)
        )
        if config.norm == "batch:momentum=0.01":
            exact += short_gain
        return {"accuracy": 0.9, "end": {"recomputed_accuracy": exact}}

    return outcome


#: More steps than any budget has.
_NEVER = 1_000_000


def _places(after: int, before: int, cnn_after: int | None = None) -> Outcome:
    """Reaching the target at so many steps with BN after and before the activation."""

    def outcome(config: RunConfig) -> Mapping[str, Any]:
        own = "after" if config.model == "mnist_cnn" else "before"
        if config.options.get("placement", own) == "before":
            return {"accuracy": 0.99, "reaches": before}
        return {
            "accuracy": 0.99,
            "reaches": cnn_after if config.model == "mnist_cnn" and cnn_after else after,
        }

    return outcome


def _around_convolution(small: float, large: float) -> Outcome:
    """By how much BN after the convolution is better, in images of 32×32 and in larger ones."""

    def outcome(config: RunConfig) -> Mapping[str, Any]:
        lead = small if config.data == "crops-32" else large
        behind = config.options["placement"] == "before"
        return {"accuracy": 0.5 + (lead if behind else 0.0) + _noise(config, 0.001 if behind else 0.0)}

    return outcome


def _places_by_seed(config: RunConfig) -> Mapping[str, Any]:
    steps = 20 if config.seed % 2 else 70
    return {"accuracy": 0.99, "reaches": steps if config.options.get("placement") else 40}


# --- scale, shift and ε


def _affine(on: float, off: float, none: float) -> Outcome:
    of_norm = {"batch": on, "batch:affine=0": off, "none": none}
    return lambda config: {"accuracy": of_norm[config.norm] + _noise(config)}


def _only_on(model: str, there: Outcome, elsewhere: Outcome) -> Outcome:
    return lambda config: (there if config.model == model else elsewhere)(config)


def _epsilons(**accuracies: float) -> Outcome:
    """Accuracies by ε; 0.95 where nothing is said."""

    def outcome(config: RunConfig) -> Mapping[str, Any]:
        epsilon = config.norm.partition("=")[2].replace(".", "_")
        accuracy = accuracies.get(f"e{epsilon}", 0.95)
        return {"accuracy": accuracy + _noise(config)}

    return outcome


# --- what holds exactly


def _exactly(
    change: float = 1e-15,
    recurrence: float = 1e-16,
    negative: float = 0.0,
    positive: float = 1.0,
    not_normal: float = 0.6,
    correlated: float = 0.2,
    moved: float = 0.0,
    moved_by_batch: float = 1.0,
    flipped: float = 0.1,
) -> Outcome:
    def outcome(config: RunConfig) -> Mapping[str, Any]:
        own = flipped + _noise(config, 0.01 if 0 < flipped < 1 else 0)
        return {
            "end": {
                "moments": {
                    "skewness": change,
                    "kurtosis": change,
                    "correlation": change,
                    "correlated": correlated,
                    "not_normal": not_normal,
                },
                "statistics_recurrence": recurrence,
                "epsilon_sign": {"positive": positive, "negative": negative},
                "batch_dependence": {
                    "running": {"change": moved, "moved": moved, "flipped": 0.0},
                    "batch": {"change": 1.0, "moved": moved_by_batch, "flipped": own},
                },
            }
        }

    return outcome


def _biases(
    before: float = 1e-12,
    gradient: float = 1e-15,
    none: float = 0.1,
    after: float = 0.1,
    merged: float = 1e-13,
) -> Outcome:
    """Relative differences of the loss by a bias: before BN, without BN, and before an activation."""

    def outcome(config: RunConfig) -> Mapping[str, Any]:
        moved = none if config.norm == "none" else after if config.options.get("placement") else before
        biased = bool(config.options.get("bias", True))
        loss = 1.0 + (moved if biased else 0.0)
        return {"loss": lambda step: loss, "end": {"bias_gradient": gradient, "merged_bias": merged}}

    return outcome


def _diverging_bias(config: RunConfig) -> Mapping[str, Any]:
    biased = bool(config.options.get("bias", True))
    diverged = config.norm == "batch" and biased and "placement" not in config.options
    return {**_biases()(config), "diverged": diverged}


# --- batches


def _batches(
    bn: Mapping[int, float], group: Mapping[int, float] | None = None, cnn: float | None = None
) -> Outcome:
    """Accuracies of BN and of GroupNorm by the batch, perhaps others of BN in the convolutional net; else 0.95."""

    def outcome(config: RunConfig) -> Mapping[str, Any]:
        of_bn = bn if cnn is None or config.model != "mnist_cnn" else {2: cnn}
        accuracies = of_bn if config.norm == "batch" else group or {}
        return {"accuracy": accuracies.get(config.batch_size, 0.95) + _noise(config)}

    return outcome


def _remedies(plain: float, **repaired: float) -> Outcome:
    """Accuracies of BN and of remedies at batch 2; elsewhere, and where nothing is said, 0.95."""

    def outcome(config: RunConfig) -> Mapping[str, Any]:
        kind = config.norm.partition(":")[0]
        if config.norm == "ghost:2":
            return {"accuracy": repaired.get("accumulated", 0.95) + _noise(config)}
        if kind == "batch" and config.batch_size == 4:
            return {"accuracy": repaired.get("synchronised", 0.95) + _noise(config)}
        if config.batch_size == 2:
            accuracy = plain if kind == "batch" else repaired.get(kind, 0.95)
            return {"accuracy": accuracy + _noise(config, 0.0 if kind == "batch" else 0.001)}
        return {"accuracy": 0.95}

    return outcome


_REMEDIES = ("renorm", "group", "synchronised", "accumulated")

_CASES: list[tuple[str, Verdict, Outcome]] = [
    ("running_statistics", "supported", _recomputed(0.03)),
    ("running_statistics", "not supported", _recomputed(0.001)),
    ("running_statistics", "depends", _recomputed(0.001, small_gain=0.3)),
    # Averages that can't have caught up decide nothing.
    ("running_statistics", "not supported", _recomputed(0.001, short_gain=0.5)),
    ("running_statistics", "undecided", _recomputed(0.01)),
    # The control: statistics that nobody kept do no harm here, so no statistics matter.
    ("running_statistics", "undecided", _recomputed(0.03, never=0.89)),
    ("running_statistics_kept", "supported", _recomputed(0.0)),
    ("running_statistics_kept", "not supported", _recomputed(0.0, never=0.89)),
    (
        "running_statistics_kept",
        "depends",
        _only_on("mnist_cnn", _recomputed(0.0, never=0.89), _recomputed(0.0)),
    ),
    ("placement", "supported", _places(after=60, before=20)),
    ("placement", "not supported", _places(after=20, before=60)),
    ("placement", "not supported", _places(after=40, before=40)),
    ("placement", "depends", _places(after=60, before=20, cnn_after=20)),
    ("placement", "undecided", _places_by_seed),
    # Where the budget ends first, ratios near 1 come of the budget.
    ("placement", "undecided", _places(after=_NEVER, before=_NEVER)),
    ("placement", "undecided", _places(after=_NEVER, before=85)),
    ("before_convolution", "supported", _around_convolution(small=0.05, large=-0.05)),
    ("before_convolution", "not supported", _around_convolution(small=-0.05, large=0.05)),
    # The size decides nothing where one place is better in both.
    ("before_convolution", "not supported", _around_convolution(small=0.05, large=0.05)),
    ("before_convolution", "depends", _around_convolution(small=-0.05, large=-0.05)),
    ("before_convolution", "depends", _around_convolution(small=0.08, large=0.05)),
    ("before_convolution", "undecided", _around_convolution(small=0.05, large=-0.01)),
    ("affine", "supported", _affine(on=0.95, off=0.8, none=0.9)),
    ("affine", "not supported", _affine(on=0.95, off=0.95, none=0.9)),
    ("affine", "depends", _only_on("ioffe_mlp", _affine(0.95, 0.8, 0.9), _affine(0.95, 0.95, 0.9))),
    ("affine", "undecided", _wild(_affine(0.95, 0.95, 0.9))),
    ("affine_indispensable", "supported", _affine(on=0.95, off=0.1, none=0.9)),
    ("affine_indispensable", "not supported", _affine(on=0.95, off=0.95, none=0.9)),
    ("affine_indispensable", "undecided", _affine(on=0.95, off=0.94, none=0.95)),
    ("standard_normal", "not supported", _exactly()),
    ("standard_normal", "supported", _exactly(change=0.5)),
    ("standard_normal", "depends", _only_on("dense_bn", _exactly(change=0.5), _exactly())),
    # Inputs that are normal stay so: then nothing is shown.
    ("standard_normal", "undecided", _exactly(not_normal=0.01)),
    ("standard_normal", "supported", _exactly(change=float("nan"))),
    ("decorrelation", "not supported", _exactly()),
    ("decorrelation", "supported", _exactly(change=0.1)),
    ("decorrelation", "undecided", _exactly(correlated=0.05)),
    ("learnt_statistics", "not supported", _exactly()),
    ("learnt_statistics", "supported", _exactly(recurrence=1e-3)),
    ("learnt_statistics", "supported", _exactly(recurrence=float("inf"))),
    ("epsilon", "supported", _epsilons(e0_001=0.9, e0_1=0.9, e10=0.1)),
    ("epsilon", "not supported", _epsilons()),
    ("epsilon", "depends", _epsilons(e10=0.1)),
    ("epsilon", "undecided", _wild(_epsilons())),
    ("epsilon_sign", "not supported", _exactly()),
    ("epsilon_sign", "supported", _exactly(negative=1.0)),
    ("epsilon_sign", "undecided", _exactly(positive=0.5)),
    ("batch_independence", "supported", _exactly()),
    ("batch_independence", "not supported", _exactly(moved=0.1)),
    ("batch_independence", "depends", _only_on("dense_bn", _exactly(moved=0.1), _exactly())),
    ("batch_independence", "undecided", _exactly(moved_by_batch=0.0)),
    ("batch_independence_lost", "supported", _exactly(flipped=0.1)),
    ("batch_independence_lost", "not supported", _exactly(flipped=0.0)),
    ("batch_independence_lost", "depends", _only_on("dense_bn", _exactly(flipped=0.0), _exactly())),
    ("useless_bias", "supported", _biases()),
    ("useless_bias", "not supported", _biases(before=1e-3)),
    ("useless_bias", "not supported", _biases(gradient=1e-3)),
    ("useless_bias", "depends", _only_on("dense_bn", _biases(), _biases(before=1e-3))),
    # The bias makes the run diverge: the steps before say nothing.
    ("useless_bias", "not supported", _diverging_bias),
    ("useless_bias", "undecided", _biases(none=1e-12)),
    ("useless_bias", "undecided", _biases(after=1e-12)),
    ("bias_behind_bn", "supported", _biases()),
    ("bias_behind_bn", "not supported", _biases(merged=1e-3)),
    ("bias_behind_bn", "not supported", _biases(merged=float("nan"))),
    ("small_batches", "supported", _batches({2: 0.5}, cnn=0.5)),
    ("small_batches", "not supported", _batches({2: 0.949}, cnn=0.949)),
    ("small_batches", "depends", _batches({2: 0.5}, cnn=0.949)),
    # GroupNorm suffers as much: then it is the small batch as such, and not BN.
    ("small_batches", "not supported", _batches({2: 0.5}, {2: 0.5}, cnn=0.949)),
    # GroupNorm wins by the small batch: BN, which does not lose, has lost nothing for that.
    ("small_batches", "not supported", _batches({2: 0.949}, {2: 0.95, 32: 0.5}, cnn=0.949)),
    ("small_batches", "undecided", _wild(_batches({2: 0.94}))),
    ("small_batches_below_16", "supported", _batches({2: 0.5, 4: 0.6, 8: 0.7})),
    ("small_batches_below_16", "not supported", _batches({})),
    ("small_batches_below_16", "depends", _batches({2: 0.5, 4: 0.6}, cnn=0.949)),
    ("larger_batches", "supported", _batches({32: 0.8})),
    ("larger_batches", "not supported", _batches({})),
    # Then it is the larger batch as such.
    ("larger_batches", "not supported", _batches({32: 0.8}, {32: 0.7})),
    ("larger_batches", "undecided", _wild(_batches({}))),
    ("small_batch_remedies", "supported", _remedies(0.5)),
    ("small_batch_remedies", "depends", _remedies(0.5, renorm=0.5)),
    ("small_batch_remedies", "depends", _remedies(0.5, accumulated=0.4, synchronised=0.5, group=0.3)),
    ("small_batch_remedies", "not supported", _remedies(0.5, **dict.fromkeys(_REMEDIES, 0.505))),
    # Nothing to repair.
    ("small_batch_remedies", "undecided", _remedies(0.945)),
]


@pytest.mark.parametrize(("name", "verdict", "outcome"), _CASES)
def test_the_verdict_follows_from_the_numbers(
    judge: Judge, name: str, verdict: Verdict, outcome: Outcome
) -> None:
    (claim,) = claims_named((name,))
    result = judge(claim, outcome)
    assert result.verdict == verdict
    assert result.takeaway.en
    assert result.takeaway.zh
    assert bool(result.reason.en) == (verdict in ("depends", "undecided"))


@pytest.mark.parametrize("name", sorted({name for name, _, _ in _CASES}))
def test_the_full_study_judges_by_the_same_rules(judge: Judge, name: str) -> None:
    (claim,) = claims_named((name,))
    _, verdict, outcome = next(case for case in _CASES if case[0] == name)
    assert judge(claim, outcome, "full").verdict == verdict


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("running_statistics_kept", {"norm", "measures"}),
        ("placement", {"options", "lr"}),
        ("before_convolution", {"options", "lr", "data"}),
        ("affine", {"norm", "lr"}),
        # Without BN the ReLU net has more steps, lest it be merely slow.
        ("affine_indispensable", {"norm", "lr", "steps"}),
        ("epsilon", {"norm", "lr"}),
        ("small_batches", {"norm", "lr", "batch_size", "steps", "eval_every"}),
        ("small_batches_below_16", {"norm", "lr", "batch_size", "steps", "eval_every"}),
        ("larger_batches", {"norm", "lr", "batch_size"}),
        ("small_batch_remedies", {"norm", "lr", "batch_size", "steps", "eval_every"}),
        ("useless_bias", {"options", "measures"}),
    ],
)
@pytest.mark.parametrize("preset", ["quick", "full"])
def test_what_is_compared_differs_in_what_is_tested_alone(name: str, fields: set[str], preset: str) -> None:
    (claim,) = claims_named((name,))
    for plan in claim.cases(preset_named(preset), lambda search: search.rates[0]):
        first, *others = map(vars, plan.arms)
        differing = {field for other in others for field in first if first[field] != other[field]}
        assert differing <= fields


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_a_protocol_speaks_of_chosen_rates_where_rates_are_chosen(preset: str) -> None:
    size = preset_named(preset)
    for claim in claims_named(()):
        if claim.group == "use" and preset in claim.presets:
            told = "Learning rates are chosen" in " ".join(claim.protocol(size))
            assert told == bool(claim.searches(size)), claim.name


def test_what_is_measured_on_one_run_tells_how_it_is_trained(quick: Preset) -> None:
    for claim in claims_named(
        ("batch_independence", "standard_normal", "learnt_statistics", "decorrelation")
    ):
        assert "3 sigmoid layers: 100 steps of plain SGD, batch 60, rate 1." in claim.protocol(quick)
    (claim,) = claims_named(("epsilon_sign",))
    assert "small convolutional net: 100 steps of plain SGD, batch 60, rate 0.1." in claim.protocol(quick)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (_only_on("ioffe_mlp", _affine(0.95, 0.8, 0.9), _affine(0.95, 0.95, 0.9)), "the activation: sigmoid"),
        (
            _only_on("plain_mlp", _affine(0.95, 0.8, 0.9), _affine(0.95, 0.95, 0.9)),
            "it holds for 3 ReLU layers",
        ),
    ],
)
def test_the_activation_is_named_where_the_sigmoid_net_alone_needs_scale_and_shift(
    judge: Judge, outcome: Outcome, reason: str
) -> None:
    (claim,) = claims_named(("affine",))
    assert judge(claim, outcome).reason.en.startswith(reason)


def test_a_slow_network_without_bn_is_judged_in_full_alone(judge: Judge) -> None:
    (claim,) = claims_named(("affine_indispensable",))
    outcome = _only_on("ioffe_mlp", _affine(1, 0.1, 0.9), _affine(1, 0.95, 0.9))
    assert [case.name for case in judge(claim, outcome).cases] == ["plain_mlp_3"]
    assert judge(claim, outcome, "full").verdict == "depends"


def test_advice_on_batches_says_no_more_than_the_verdict() -> None:
    (claim,) = claims_named(("small_batches_below_16",))
    verdicts: tuple[Verdict, ...] = ("supported", "not supported", "depends", "undecided")
    assert [found for found in verdicts if "Don't drop" in claim.advice(found).en] == ["not supported"]
    (claim,) = claims_named(("larger_batches",))
    assert [found for found in verdicts if "don't expect" in claim.advice(found).en] == ["not supported"]


def test_in_full_bn_has_a_rate_of_its_own_at_the_batch_that_remedies_are_for() -> None:
    (claim,) = claims_named(("small_batch_remedies",))
    full = preset_named("full")
    chosen_at = {search.arm.batch_size for search in claim.searches(full) if search.arm.norm == "group"}
    plan = claim.cases(full, lambda search: search.rates[0])[0]
    assert chosen_at == {2}
    assert [config.lr for config in plan.arms] == [0.0025, 0.0025]


def test_the_same_samples_are_seen_whatever_the_batch(quick: Preset) -> None:
    for claim in claims_named(("small_batches", "small_batch_remedies")):
        for plan in claim.cases(quick, lambda search: search.rates[0]):
            assert len({config.steps * config.batch_size for config in plan.arms}) == 1


def test_batch_statistics_in_two_processes_are_those_of_twice_the_batch(quick: Preset) -> None:
    (claim,) = claims_named(("small_batch_remedies",))
    of_remedy = {plan.name: plan.arms[0] for plan in claim.cases(quick, lambda search: search.rates[0])}
    assert (of_remedy["synchronised"].norm, of_remedy["synchronised"].batch_size) == ("batch", 4)
    assert (of_remedy["accumulated"].norm, of_remedy["accumulated"].batch_size) == ("ghost:2", 32)
