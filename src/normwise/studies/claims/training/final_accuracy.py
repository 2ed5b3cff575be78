"""BN gives a better accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from normwise.records import Bilingual, Brief, Case, Effect, Figure, Run, RunConfig, Saying, Source, Verdict
from normwise.studies.arms import Runs, Search, accuracy_at_end
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.judging.intervals import mean_effect
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import LABEL, STYLE
from normwise.studies.networks import SGD_RATES, arm, seeds_sentence
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import verdict_first

_SMALLEST = 0.5
#: Optimiser steps and learning rates to choose from.
_Budgets = Mapping[str, tuple[int, tuple[float, ...]]]
_QUICK: _Budgets = {"dense_bn": (500, (0.3, 1.0, 3.0))}
_FULL: _Budgets = {
    "dense_bn": (4000, (0.1, 0.3, 1.0, 3.0)),
    "mnist_cnn": (1800, SGD_RATES),
    "deep_mlp": (3000, (0.03, 0.1, 0.3, 1.0)),
}


class FinalAccuracy(Claim):
    """Test accuracy at the end of a long training, with BN less without."""

    number = 60
    name = "final_accuracy"
    group = "training"
    statement = Bilingual("BN gives a better accuracy on new data.", "BN 能提高在新数据上的准确率。")
    says = (
        Saying("001", "2.2 BN层与深度学习模型的融合；Q4"),
        Saying("003", "批标准化的优缺点：精度提升"),
        Saying("004", "作用：提高模型的泛化能力"),
    )
    falsifier = (
        "At the end of the training the accuracy with BN is less than half a point better: every network."
    )
    rule = (
        "The effect is the mean test accuracy of the last three evaluations, with BN less without, both after the same "
        f"steps, each at the learning rate that does best for it. The smallest that matters is {_SMALLEST:g} points. "
        "Whether either would gain more in a longer training is not judged."
    )
    dated = "2026-11-27"
    brief = Brief("gain", Bilingual("a better final accuracy", "更高的最终准确率"))
    sources = (
        Source(
            "Santurkar, Tsipras, Ilyas & Madry 2018, How Does Batch Normalization Help Optimization?",
            "§2: accuracy with and without BN on CIFAR-10",
            "https://arxiv.org/abs/1805.11604",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        networks = _networks(preset)
        steps = ", ".join(f"{network.steps:,} for {network.gloss.en}" for network in networks)
        rates = "; ".join(
            f"{network.gloss.en}: {', '.join(f'{rate:g}' for rate in _rates(preset, network))}"
            for network in networks
        )
        return (
            f"Plain SGD, batches of 60. Steps: {steps}. How much the form without BN still gains in the second half "
            "stands beside the effects.",
            f"Learning rates to choose from, the same with BN and without: {rates}.",
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
                effect="test accuracy with BN less without",
                unit="percentage points",
                smallest=_SMALLEST,
                note=lambda bn, plain: (
                    f"learning rate {plain[0].config.lr:g} without BN, {bn[0].config.lr:g} with"
                ),
            )
            for network in _networks(preset)
        )

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        return tuple(
            mean_effect(
                f"{network.gloss.en}: gained without BN in the second half of the training",
                "percentage points",
                [100 * _gained(run) for run in runs.of(_arms(preset, network, runs.rate)[1])],
            )
            for network in _networks(preset)
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            Figure(
                name=f"final-accuracy-{network.name.replace('_', '-')}",
                title=f"{network.gloss.en}: test accuracy while training",
                caption="Mean over seeds; the band spans the lowest and the highest seed.",
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
        return verdict_first(
            found,
            {
                "supported": Bilingual(
                    "At the end of the training BN is more accurate.", "训练结束时，用 BN 的准确率更高。"
                ),
                "not supported": Bilingual(
                    "At the end of the training BN is no more accurate.",
                    "训练结束时，用 BN 的准确率并不更高。",
                ),
                "depends": Bilingual(
                    "At the end of the training BN is more accurate in some networks only.",
                    "训练结束时，只有部分网络用 BN 的准确率更高。",
                ),
            },
            Bilingual("Accuracy on new data, with BN less without", "新数据上的准确率，用 BN 减去不用 BN"),
            cases,
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "Expect a better accuracy from BN in the same number of steps.",
                "训练步数相同时，用 BN 可望得到更高的准确率。",
            )
        return Bilingual(
            "Don't count on BN for accuracy alone: compare on your own validation set, both trained to the end.",
            "不要只为准确率而用 BN：在自己的验证集上，两种都训练到底再比较。",
        )


def _networks(preset: Preset) -> tuple[Network, ...]:
    return tuple(
        replace(preset.networks[name], steps=steps)
        for name, (steps, _) in preset.pick(quick=_QUICK, full=_FULL).items()
    )


def _rates(preset: Preset, network: Network) -> tuple[float, ...]:
    return preset.pick(quick=_QUICK, full=_FULL)[network.name][1]


def _searches(preset: Preset, network: Network) -> tuple[Search, Search]:
    bn, plain = (Search(arm(preset, network, norm), _rates(preset, network)) for norm in ("batch", "none"))
    return bn, plain


def _arms(preset: Preset, network: Network, rate: Rate) -> tuple[RunConfig, RunConfig]:
    bn, plain = (replace(search.arm, lr=rate(search)) for search in _searches(preset, network))
    return bn, plain


def _gained(run: Run) -> float:
    return accuracy_at_end(run) - run.points[len(run.points) // 2].test_accuracy
