"""BN lets deep networks train."""

from collections.abc import Sequence

from normwise.records import Bilingual, Brief, Case, Effect, Figure, Saying, Source, Verdict
from normwise.studies.arms import Runs, Search, accuracy_after, accuracy_at_end
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.claims.training.depth.deep_networks import (
    arms,
    bn_rates,
    depths,
    is_residual,
    networks,
    plain_rates,
    searches,
    times,
    tuning_share,
)
from normwise.studies.judging.intervals import mean_effect
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import LABEL, STYLE
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Preset
from normwise.studies.wording import verdict_first

_SMALLEST = 10.0
#: Accuracy that BN must reach for the comparison to mean anything, in points.
_TRAINS = 60.0
_SHARES = {1: "all of them", 3: "a third of them"}


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
    presets = ("quick", "full", "gpu")
    sources = (
        ioffe_szegedy("§1: saturating nonlinearities and depth"),
        Source(
            "He, Zhang, Ren & Sun 2015, Delving Deep into Rectifiers",
            "§2.2: initial weights with which deep networks train without BN",
            "https://arxiv.org/abs/1502.01852",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        found = depths(preset)
        residual = [network for network in found if is_residual(network)]
        budgets = "; ".join(
            f"{network.gloss.en}, {network.steps} steps with BN, {times(preset, network)} times as many without"
            for network in found
        )
        rates = "; ".join(
            f"{network.gloss.en}: {_listed(bn_rates(preset, network))} with BN, "
            f"{_listed(plain_rates(preset, network))} without, on {_SHARES[tuning_share(preset, network)]}"
            for network in networks(preset)
        )
        unfinished = preset.pick(quick="", full=" With BN it still gains when its steps end.", gpu="")
        (width,) = {network.options.get("width", 64) for network in found if network not in residual}
        return (
            f"Plain SGD, batches of 60; dense layers of {width} units with ReLU. {budgets}.",
            "Default weights are torch's, uniform within 1 / √inputs; He's are Gaussian of deviation √(2 / inputs), "
            "biases 0.",
            f"Learning rates to choose from, and the steps on which the one without BN is chosen: {rates}.",
            *(
                f"The {network.gloss.en} has {network.options.get('width', 16)} channels in its first stage, biases "
                f"and He's weights.{unfinished}"
                for network in residual
            ),
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(search for network in networks(preset) for search in searches(preset, network))

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                network.name,
                network.gloss,
                network.family,
                arms(preset, network, rate),
                value=lambda bn, plain: 100 * (accuracy_at_end(bn) - accuracy_at_end(plain)),
                effect=f"accuracy with BN less that without after {times(preset, network)} times the steps",
                unit="percentage points",
                smallest=_SMALLEST,
                note=lambda bn, plain: (
                    f"learning rate {plain[0].config.lr:g} without BN, {bn[0].config.lr:g} with"
                ),
            )
            for network in networks(preset)
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"{network.name} trains",
                Bilingual(f"{network.gloss.en} train with BN", f"{network.gloss.zh}有 BN 时能训练"),
                network.family,
                arms(preset, network, rate)[:1],
                value=lambda bn: 100 * accuracy_at_end(bn),
                effect="accuracy with BN",
                unit="percentage points",
                smallest=_TRAINS,
            )
            for network in networks(preset)
        )

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        found: list[Effect] = []
        for network in networks(preset):
            bn, plain = (runs.of(one) for one in arms(preset, network, runs.rate))
            gains = [
                100 * (accuracy_after(one, network.steps) - accuracy_after(other, network.steps))
                for one, other in zip(bn, plain, strict=True)
            ]
            found.append(
                mean_effect(
                    f"{network.gloss.en}: accuracy with BN less without, both after {network.steps} steps",
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
                    for config in arms(preset, network, runs.rate)
                ),
            )
            for network in networks(preset)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        return verdict_first(
            found,
            {
                "supported": Bilingual(
                    "Deep networks train with BN, and hardly without.",
                    "深层网络用 BN 就能训练，不用 BN 则很难训练。",
                ),
                "not supported": Bilingual(
                    "Given many times the steps, deep networks train without BN, too.",
                    "只要多训练数倍步数，深层网络不用 BN 也能训练。",
                ),
                "depends": Bilingual(
                    "Only some deep networks need BN to train.", "只有部分深层网络要靠 BN 才能训练。"
                ),
            },
            Bilingual(
                "Accuracy with BN, less that without BN after many times the steps",
                "用 BN 的准确率，减去不用 BN 但多训练数倍步数的准确率",
            ),
            cases,
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


def _listed(rates: Sequence[float]) -> str:
    return ", ".join(f"{rate:g}" for rate in rates)
