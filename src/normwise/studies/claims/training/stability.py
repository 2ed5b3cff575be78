"""BN makes training more stable."""

from collections.abc import Sequence
from statistics import stdev

from normwise.records import Bilingual, Case, Effect, Figure, Run, RunConfig, Saying, Verdict
from normwise.studies.arms import Runs, Search, accuracy_at_end
from normwise.studies.case_plan import CasePlan, IdentityPlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.claims.training.tuned_pairs import (
    TunedPair,
    arrives,
    at_others_rate,
    budget_sentence,
    closely_sentence,
    pairs,
    rates_sentence,
)
from normwise.studies.judging.intervals import LEVEL, mean_effect
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import LABEL, STYLE
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Preset
from normwise.studies.wording import verdict_first

_SMALLEST = 2.0


class Stability(Claim):
    """The largest setback of the accuracy in a training, without BN less with."""

    number = 70
    name = "stability"
    group = "training"
    statement = Bilingual("BN makes training more stable.", "BN 使训练更稳定。")
    says = (
        Saying("000", "五、总结"),
        Saying("001", "2.1 Batch Normalization简介"),
        Saying("002", "前言"),
        Saying("003", "批标准化的优缺点：稳定性增强"),
        Saying("004", "作用：加速训练过程"),
    )
    falsifier = (
        "At the learning rate that suits each form best, the largest setback is less than 2 points smaller with BN: "
        "every network and optimiser."
    )
    rule = (
        "A setback is how far the test accuracy falls below the best that the same run has had before. The effect is "
        f"the largest setback of a run without BN less that with BN, by seed. The smallest that matters is "
        f"{_SMALLEST:g} points. Both forms must reach the target accuracy with each seed, or nothing is "
        "concluded. The form without BN gets the higher rate as a rule, and part of its setback is the rate's: the "
        "full study has both forms at the rate that suits the one without beside. How far the runs of different seeds "
        "end apart stands beside, too."
    )
    dated = "2026-11-27"
    sources = (ioffe_szegedy("§3.3"),)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            "Runs of the claim that BN needs fewer steps, of networks that train without BN, too. "
            f"{closely_sentence()}",
            budget_sentence(preset, _pairs(preset)),
            rates_sentence(_pairs(preset)),
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(search for pair in _pairs(preset) for search in pair.searches)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                pair.name,
                pair.gloss,
                pair.family,
                pair.arms(rate),
                value=lambda bn, plain: _setback(plain) - _setback(bn),
                effect="largest setback of the accuracy without BN less with",
                unit="percentage points",
                smallest=_SMALLEST,
            )
            for pair in _pairs(preset)
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[IdentityPlan, ...]:
        return tuple(arrives(pair, rate, of_forms=all) for pair in _pairs(preset))

    def beside(self, preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
        return tuple(bn for _, bn, _ in at_others_rate(preset, _pairs(preset), rate))

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        found: list[Effect] = []
        for gloss, bn, plain in at_others_rate(preset, _pairs(preset), runs.rate):
            less = [
                _setback(other) - _setback(one)
                for one, other in zip(runs.of(bn), runs.of(plain), strict=True)
            ]
            name = f"{gloss.en}: largest setback without BN less with, both at the rate that suits the form without"
            found.append(mean_effect(name, "percentage points", less))
        for pair in _pairs(preset):
            for config, form in zip(pair.arms(runs.rate), (LABEL["batch"], LABEL["none"]), strict=True):
                ends = [100 * accuracy_at_end(run) for run in runs.of(config)]
                spread = stdev(ends)
                name = f"{pair.gloss.en} {form}: standard deviation of the final accuracy over the seeds"
                found.append(
                    Effect(name, "percentage points", spread, spread, spread, LEVEL, len(ends), "no interval")
                )
        return tuple(found)

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        found = _pairs(preset)
        forms = zip(*(pair.arms(runs.rate) for pair in found), strict=True)
        figure = Figure(
            name="stability",
            title="Largest setback of the test accuracy in a training",
            caption="Mean over seeds; the bar spans the lowest and the highest seed.",
            x_label="network and optimiser",
            y_label="percentage points",
            series=tuple(
                spread_series(
                    LABEL[norm],
                    tuple(pair.gloss.en for pair in found),
                    [runs.of(config) for config in form],
                    _setback,
                    STYLE[norm],
                )
                for norm, form in zip(("batch", "none"), forms, strict=True)
            ),
            lines=False,
        )
        return (figure,)

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        return verdict_first(
            found,
            {
                "supported": Bilingual("With BN training is steadier.", "用 BN 时训练更平稳。"),
                "not supported": Bilingual("With BN training is no steadier.", "用 BN 时训练并不更平稳。"),
                "depends": Bilingual(
                    "With BN training is steadier in some networks only.", "只有部分网络用 BN 后训练更平稳。"
                ),
            },
            Bilingual(
                "Largest fall of the accuracy in a training, without BN less with",
                "训练中准确率的最大回落，不用 BN 减去用 BN",
            ),
            cases,
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "Where the accuracy jumps up and down in training, BN is a remedy.",
                "训练中准确率忽高忽低时，可以加 BN。",
            )
        return Bilingual(
            "Where the accuracy jumps up and down in training, lower the learning rate first; BN isn't a sure remedy.",
            "训练中准确率忽高忽低时，先降低学习率；BN 不一定有效。",
        )


def _pairs(preset: Preset) -> tuple[TunedPair, ...]:
    """Return the pairs of which both forms train.

    Without BN three sigmoid layers and a residual net hardly start, which is no calm.
    """
    return tuple(pair for pair in pairs(preset) if pair.network.name != "ioffe_mlp" and not pair.is_residual)


def _setback(run: Run) -> float:
    """Return the largest fall of the test accuracy below the best before it, in points."""
    best, largest = 0.0, 0.0
    for point in run.points:
        best = max(best, point.test_accuracy)
        largest = max(largest, best - point.test_accuracy)
    return 100 * largest
