"""BN makes training more stable."""

from collections.abc import Sequence
from statistics import stdev

from normwise.records import Bilingual, Case, Effect, Figure, Run, Saying, Verdict
from normwise.studies.arms import Runs, Search, accuracy_at_end
from normwise.studies.case_plan import CasePlan, IdentityPlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.claims.training.tuned_pairs import (
    TunedPair,
    arrives,
    closely_sentence,
    pairs,
    rates_sentence,
)
from normwise.studies.judging.intervals import LEVEL
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
        "concluded. How far the runs of different seeds end apart stands beside."
    )
    dated = "2026-11-27"
    sources = (ioffe_szegedy("§3.3"),)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            "Runs of the claim that BN needs fewer steps, of networks that train without BN, too. "
            f"{closely_sentence()}",
            rates_sentence(preset),
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
        return tuple(arrives(preset, pair, rate, of_forms=all) for pair in _pairs(preset))

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        found: list[Effect] = []
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
    """Return the pairs of which both forms train: without BN three sigmoid layers hardly start, which is no calm."""
    return tuple(pair for pair in pairs(preset) if not pair.name.startswith("ioffe_mlp"))


def _setback(run: Run) -> float:
    """Return the largest fall of the test accuracy below the best before it, in points."""
    best, largest = 0.0, 0.0
    for point in run.points:
        best = max(best, point.test_accuracy)
        largest = max(largest, best - point.test_accuracy)
    return 100 * largest
