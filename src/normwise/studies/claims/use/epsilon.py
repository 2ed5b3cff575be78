"""BN's ε: its size and its sign."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from normwise.records import Bilingual, Case, Figure, Run, RunConfig, Saying, Verdict
from normwise.studies.arms import Runs, Search, accuracy_at_end
from normwise.studies.case_plan import CasePlan, IdentityPlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.judging.run_queries import result
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import BATCH
from normwise.studies.networks import arm, bn_sentences, seeds_sentence, trained_with_bn, tuned
from normwise.studies.preset import Preset
from normwise.studies.wording import of_each

_SMALLEST = 1.0
_EPSILONS = (1e-3, 0.1, 10.0)
_USUAL = 1e-5
#: Learning rates to choose from; a large ε makes BN's outputs small, and larger rates suit it.
_RATES, _LARGER_RATES = (0.1, 0.3, 1.0, 3.0), (1.0, 3.0, 10.0)
_SIGNED = ("dense_bn", "mnist_cnn")
#: Percent of the outputs that is less than one of them.
_NONE = 1e-3
_SOURCES = (ioffe_szegedy("algorithm 1: ε is added to the variance for numerical stability"),)


class Epsilon(Claim):
    """Accuracy at the usual ε less that at a larger one."""

    number = 361
    name = "epsilon"
    group = "use"
    statement = Bilingual("ε is very small, usually 1e-5.", "ε 非常小，通常为 1e-5。")
    says = (Saying("003", "批标准化的基本原理: 2"), Saying("004", "定义与基本原理: 2"))
    falsifier = (
        f"With a larger ε, at the learning rate that suits it best, the accuracy falls by less than {_SMALLEST:g} "
        "point: at every ε. At some of them: it depends on the size."
    )
    rule = (
        f"The effect is the mean test accuracy of the last three evaluations with ε = {_USUAL:g} less that with a "
        f"larger ε, each at its best learning rate, in percentage points. The smallest that matters is {_SMALLEST:g} "
        "point."
    )
    dated = "2026-11-27"
    sources = _SOURCES

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        config = _config(preset, _USUAL)
        rates, larger = (
            ", ".join(f"{rate:g}" for rate in _rates(preset, epsilon)) for epsilon in (_USUAL, _EPSILONS[-1])
        )
        return (
            f"One dense layer with BN, {config.steps} steps of plain SGD at the best of the rates {rates}; with ε = 10 "
            f"of {larger}. Keras's ε is 0.001.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(_search(preset, epsilon) for epsilon in (_USUAL, *_EPSILONS))

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"ε = {epsilon:g}",
                Bilingual(f"ε = {epsilon:g}", f"ε = {epsilon:g}"),
                preset.networks["dense_bn"].family,
                (_tuned(preset, _USUAL, rate), _tuned(preset, epsilon, rate)),
                value=lambda usual, larger: 100 * (accuracy_at_end(usual) - accuracy_at_end(larger)),
                effect=f"accuracy with ε = {_USUAL:g} less that with a larger ε",
                unit="percentage points",
                smallest=_SMALLEST,
                note=lambda usual, larger: f"learning rate {larger[0].config.lr:g}",
            )
            for epsilon in _EPSILONS
        )

    def depends_on(self, cases: Sequence[Case]) -> Bilingual:
        harmful = [case.name for case in cases if case.outcome == "shown"]
        harmless = [case.name for case in cases if case.outcome in ("refuted", "reversed")]
        return Bilingual(
            f"the size of ε: {' and '.join(harmful)} did harm, {' and '.join(harmless)} did none",
            f"取决于 ε 的大小：{'、'.join(harmful)} 有害，{'、'.join(harmless)} 无害",
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        groups = [runs.of(_tuned(preset, epsilon, runs.rate)) for epsilon in (_USUAL, *_EPSILONS)]
        return (
            Figure(
                name="epsilon",
                title="Test accuracy by ε",
                caption="Mean over seeds; the band spans the lowest and the highest seed.",
                x_label="ε",
                y_label="test accuracy",
                x_log=True,
                y_percent=True,
                series=(spread_series("with BN", (_USUAL, *_EPSILONS), groups, accuracy_at_end, BATCH),),
            ),
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            f"An ε of 1e-5 instead of a larger one changed the accuracy by {each.en}.",
            f"ε 取 1e-5 而不是更大的值，准确率变化：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found in ("supported", "depends"):
            return Bilingual(
                "Leave ε at your framework's value, and carry it over when you move weights to another; make it no "
                "larger without a measurement.",
                "ε 用框架的默认值即可；把权重移到别的框架时要一并带上。没有实测依据，不要调大。",
            )
        return Bilingual(
            "Leave ε at your framework's value, and carry it over when you move weights to another.",
            "ε 用框架的默认值即可；把权重移到别的框架时要一并带上。",
        )


class EpsilonSign(Claim):
    """BN's outputs on a batch without variance, with ε below 0."""

    number = 362
    name = "epsilon_sign"
    group = "use"
    statement = Bilingual("ε is a constant below 0.", "ε 是一个小于 0 的常数。")
    says = (Saying("001", "3.3 BN层的数学模型公式"),)
    falsifier = "With ε below 0 no output of BN is a number where a batch has no variance: on every network."
    rule = (
        "BN's formula on a batch without variance, with ε = -1e-5. The effect is the percentage of outputs that are "
        "numbers. Where none is, the claim is refuted. As a control, with ε = 1e-5 all must be."
    )
    dated = "2026-11-27"
    sources = _SOURCES

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            *bn_sentences(preset, _SIGNED),
            "The batch is one test image eight times, seen by the BN layers of networks that were trained; in images "
            "at their middle.",
            seeds_sentence(preset, searched=False),
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[IdentityPlan, ...]:
        return _signed(preset, "< 0", lambda run: 100 * _finite(run, "negative"))

    def controls(self, preset: Preset, rate: Rate) -> tuple[IdentityPlan, ...]:
        return _signed(preset, "> 0", lambda run: 100 * (1 - _finite(run, "positive")))

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        if found == "not supported":
            return Bilingual(
                "With ε below 0 BN takes the root of a negative number as soon as a channel is constant in a batch.",
                "ε 小于 0 时，只要某个通道在一批中取值不变，BN 就要对负数开方，得不到数值。",
            )
        return Bilingual(
            "BN's formula gave numbers with ε below 0, which it can't: look for an error.",
            "ε 小于 0 时公式仍给出了数值，这不可能：请检查实现。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        return Bilingual(
            "Choose ε above 0. It guards against a variance of 0, not against gradients of 0.",
            "ε 要大于 0。它防止的是方差为 0，而不是梯度为 0。",
        )


def _config(preset: Preset, epsilon: float) -> RunConfig:
    network = preset.networks["dense_bn"]
    norm = "batch" if epsilon == _USUAL else f"batch:eps={epsilon:g}"
    return arm(preset, network, norm, steps=preset.pick(quick=200, full=network.steps))


def _tuned(preset: Preset, epsilon: float, rate: Rate) -> RunConfig:
    return replace(_config(preset, epsilon), lr=rate(_search(preset, epsilon)))


def _search(preset: Preset, epsilon: float) -> Search:
    return tuned(preset, _config(preset, epsilon), _rates(preset, epsilon))


def _rates(preset: Preset, epsilon: float) -> tuple[float, ...]:
    return _LARGER_RATES if epsilon >= 1 else preset.pick(quick=_RATES[:-1], full=_RATES)


def _finite(run: Run, sign: str) -> float:
    return result(run).measured["epsilon_sign"][sign]


def _signed(preset: Preset, sign: str, deviation: Callable[[Run], float]) -> tuple[IdentityPlan, ...]:
    """Return what BN's outputs must be for a sign of ε: all numbers, or none."""
    return tuple(
        IdentityPlan(
            f"{name}, {sign}",
            Bilingual(
                f"{preset.networks[name].gloss.en}, ε {sign}", f"{preset.networks[name].gloss.zh}，ε {sign}"
            ),
            preset.networks[name].family,
            (trained_with_bn(preset, preset.networks[name]),),
            deviation=deviation,
            effect=f"outputs that are {'numbers' if sign == '< 0' else 'no numbers'} with ε {sign}",
            unit="% of the outputs",
            rounding=_NONE,
            if_it_holds="refuted" if sign == "< 0" else "shown",
        )
        for name in _SIGNED
    )
