"""BN lets deep networks train."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from normwise.records import Bilingual, Brief, Case, Effect, Figure, RunConfig, Saying, Source, Verdict
from normwise.studies.arms import Runs, Search, accuracy_after, accuracy_at_end
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.judging.intervals import mean_effect
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import LABEL, STYLE
from normwise.studies.networks import arm, seeds_sentence
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import of_each

_SMALLEST = 10.0
#: Accuracy that BN must reach for the comparison to mean anything, in points.
_TRAINS = 60.0
_BN_RATES, _PLAIN_RATES = (0.1, 0.3, 1.0), (0.01, 0.03, 0.1)
_INITS = {
    "default": Bilingual("default weights", "默认初始化"),
    "he": Bilingual("He's weights", "He 初始化"),
}


@dataclass(frozen=True)
class _Budget:
    """Hidden layers of the networks, steps of a run with BN, and how many times as many one without has."""

    depths: tuple[int, ...]
    steps: int
    times: int


_QUICK, _FULL = _Budget((10,), 100, 6), _Budget((10, 20), 300, 10)


class TrainableDepth(Claim):
    """Accuracy of deep networks with BN, less that without BN after many times the steps."""

    number = 80
    name = "trainable_depth"
    group = "training"
    statement = Bilingual(
        "BN lets deep networks train that don't train without it.",
        "没有 BN 就训不动的深层网络，有了 BN 就能训练。",
    )
    says = (
        Saying("002", "前言"),
        Saying("003", "批标准化的基本原理"),
        Saying("004", "批归一化（开头一段）"),
    )
    falsifier = (
        "Without BN a deep network, given many times the steps, comes within 10 points of what it reaches with BN: "
        "whatever its initial weights."
    )
    rule = (
        "The effect is the accuracy with BN, less that without BN after many times the steps: a network that is merely "
        "slow without BN has trained by then. Each form has the learning rate that does best for it. The smallest that "
        f"matters is {_SMALLEST:g} points. With BN the network must reach {_TRAINS:g}%, or nothing is concluded."
    )
    dated = "2026-11-27"
    brief = Brief(
        "gain",
        Bilingual("deep networks that train", "能够训练的深层网络"),
        Bilingual("Use it in networks of many layers", "层数多的网络就用它"),
    )
    sources = (
        ioffe_szegedy("§1: saturating nonlinearities and depth"),
        Source(
            "He, Zhang, Ren & Sun 2015, Delving Deep into Rectifiers",
            "§2.2: initial weights with which deep networks train without BN",
            "https://arxiv.org/abs/1502.01852",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        budget = _budget(preset)
        depths = " and ".join(map(str, budget.depths))
        bn, plain = (", ".join(f"{rate:g}" for rate in rates) for rates in (_BN_RATES, _PLAIN_RATES))
        return (
            f"Networks of {depths} dense layers of 64 with ReLU, plain SGD, batches of 60. With BN {budget.steps} "
            f"steps, without BN {budget.times} times as many.",
            "Default weights are torch's, uniform within 1 / √inputs; He's are Gaussian of deviation √(2 / inputs), "
            "biases 0.",
            f"Learning rates to choose from: {bn} with BN, {plain} without, there on runs of a third of the steps.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(search for network in _networks(preset) for search in _searches(preset, network))

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                network.name,
                network.gloss,
                network.family,
                _arms(preset, network, rate),
                value=lambda bn, plain: 100 * (accuracy_at_end(bn) - accuracy_at_end(plain)),
                effect=f"accuracy with BN less that without after {_budget(preset).times} times the steps",
                unit="percentage points",
                smallest=_SMALLEST,
                note=lambda bn, plain: (
                    f"learning rate {plain[0].config.lr:g} without BN, {bn[0].config.lr:g} with"
                ),
            )
            for network in _networks(preset)
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"{network.name} trains",
                Bilingual(f"{network.gloss.en} train with BN", f"{network.gloss.zh}有 BN 时能训练"),
                network.family,
                _arms(preset, network, rate)[:1],
                value=lambda bn: 100 * accuracy_at_end(bn),
                effect="accuracy with BN",
                unit="percentage points",
                smallest=_TRAINS,
            )
            for network in _networks(preset)
        )

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        steps = _budget(preset).steps
        found: list[Effect] = []
        for network in _networks(preset):
            bn, plain = (runs.of(one) for one in _arms(preset, network, runs.rate))
            gains = [
                100 * (accuracy_after(one, steps) - accuracy_after(other, steps))
                for one, other in zip(bn, plain, strict=True)
            ]
            found.append(
                mean_effect(
                    f"{network.gloss.en}: accuracy with BN less without, both after {steps} steps",
                    "percentage points",
                    gains,
                )
            )
        return tuple(found)

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            Figure(
                name=f"trainable-depth-{network.name.replace('_', '-')}",
                title=f"{network.gloss.en}: test accuracy while training",
                caption="Without BN many times the steps. Mean over seeds; the band spans all seeds.",
                x_label="steps",
                y_label="test accuracy",
                y_percent=True,
                series=tuple(
                    curve_series(LABEL[config.norm], runs.of(config), STYLE[config.norm])
                    for config in _arms(preset, network, runs.rate)
                ),
            )
            for network in _networks(preset)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            "Accuracy of a deep network with BN, compared with that without BN after many times the steps: "
            f"{each.en}.",
            f"深层网络用 BN 的准确率，与不用 BN 但多训练数倍步数相比：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual("Use BN in deep networks.", "深层网络请用 BN。")
        if found == "depends":
            return Bilingual(
                "Use BN in deep networks, or initial weights that fit the activation: then BN only saves time.",
                "深层网络请用 BN，或采用与激活函数匹配的初始化：后者情况下 BN 只是省时间。",
            )
        return Bilingual(
            "Where a deep network doesn't train, try more steps and He's initial weights before BN.",
            "深层网络训不动时，先试更多步数和 He 初始化，再考虑 BN。",
        )


def _budget(preset: Preset) -> _Budget:
    return preset.pick(quick=_QUICK, full=_FULL)


def _networks(preset: Preset) -> tuple[Network, ...]:
    return tuple(
        Network(
            f"dense_{depth}_{init}",
            Bilingual(f"{depth} dense layers, {gloss.en}", f"{depth} 层全连接、{gloss.zh}"),
            "deep",
            "plain_mlp",
            _budget(preset).steps,
            0.1,
            options={"depth": depth, "init": init},
        )
        for depth in _budget(preset).depths
        for init, gloss in _INITS.items()
    )


def _searches(preset: Preset, network: Network) -> tuple[Search, Search]:
    longer = network.steps * _budget(preset).times
    return (
        Search(arm(preset, network, "batch"), _BN_RATES),
        Search(arm(preset, network, "none", steps=longer // 3), _PLAIN_RATES),
    )


def _arms(preset: Preset, network: Network, rate: Rate) -> tuple[RunConfig, RunConfig]:
    bn, plain = (replace(search.arm, lr=rate(search)) for search in _searches(preset, network))
    longer = network.steps * _budget(preset).times
    return bn, replace(plain, steps=longer, eval_every=network.steps // 2)
