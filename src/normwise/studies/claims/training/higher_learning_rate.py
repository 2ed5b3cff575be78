"""BN allows higher learning rates."""

from collections.abc import Sequence

from normwise.records import Bilingual, Case, Effect, Figure, Run, Saying, Source, Verdict
from normwise.studies.arms import Runs, accuracy_at_end
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.claims.training.learning_rate_sweep import (
    halves,
    learns,
    open_by,
    range_note,
    ranges,
    sweep,
    sweep_figures,
    sweep_sentences,
    swept_networks,
    unseen_rates,
)
from normwise.studies.judging.intervals import geometric_effect
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import verdict_first

_SMALLEST = 1.5


class HigherLearningRate(Claim):
    """The highest learning rate that still trains, with BN over without."""

    number = 20
    name = "higher_learning_rate"
    group = "training"
    statement = Bilingual("BN allows higher learning rates.", "BN 允许使用更高的学习率。")
    says = (
        Saying("002", "第一节 1.1 Internal Covariate Shift"),
        Saying("004", "作用：允许使用更高的学习率"),
    )
    falsifier = (
        "The highest learning rate that trains is less than half as high again with BN as "
        "without it: every network."
    )
    rule = (
        "The effect is the highest usable rate with BN over the highest without, by seed; the interval is widened by "
        "the sweep's step there. A form that still trains at the last rate of the sweep makes the effect a bound. Not "
        f"counted is which rate does best: it stands beside. The smallest ratio that matters is {_SMALLEST:g}."
    )
    dated = "2026-11-27"
    revised = (
        "The first rule called every ratio above 1 shown, measured both forms by the better one's accuracy, and knew "
        "no network of which the output or a dense layer reads what BN has normalised in different ways."
    )
    sources = (
        ioffe_szegedy("§3.3: batch normalization enables higher learning rates"),
        Source(
            "Bjorck, Gomes, Selman & Weinberger 2018, Understanding Batch Normalization",
            "abstract: larger gradient steps",
            "https://arxiv.org/abs/1806.02375",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return sweep_sentences(preset)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(_case(preset, network) for network in swept_networks(preset))

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(learns(preset, network) for network in swept_networks(preset))

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        return tuple(_best_rates(preset, network, runs) for network in swept_networks(preset))

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return sweep_figures(preset, runs)

    def depends_on(self, cases: Sequence[Case]) -> Bilingual:
        held, outcomes = super().depends_on(cases), {case.name: case.outcome for case in cases}
        alone = outcomes["cnn_32"] in ("refuted", "reversed") and outcomes.get("cnn_32_pooled") != "shown"
        if not alone or outcomes["cnn_32_dense"] != "shown":
            return held
        return Bilingual(
            "what reads the convolution with BN: not with the output alone, but with a dense layer with BN between "
            f"them; {held.en}",
            f"取决于带 BN 的卷积层后面接什么：直接接输出时不成立，中间隔一个带 BN 的全连接层时成立；{held.zh}",
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        return verdict_first(
            found,
            {
                "supported": Bilingual(
                    "With BN higher learning rates train.", "用 BN 可以采用更高的学习率。"
                ),
                "not supported": Bilingual(
                    "BN allowed no higher learning rate.", "用 BN 并不能采用更高的学习率。"
                ),
                "depends": Bilingual(
                    "BN allows higher learning rates in some networks only.",
                    "只有部分网络用 BN 后可以采用更高的学习率。",
                ),
            },
            Bilingual(
                "Highest rate that trains, with BN over without", "可用的最高学习率，用 BN 是不用 BN 的"
            ),
            cases,
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "With BN, try learning rates of several times the usual one as well.",
                "用 BN 时，不妨把学习率提高几倍试试。",
            )
        return Bilingual(
            "Don't raise the learning rate just because there is BN: try it, as the gain depends on the network.",
            "不要因为用了 BN 就直接调高学习率：先试一试，效果取决于网络结构。",
        )


def _case(preset: Preset, network: Network) -> CasePlan:
    return CasePlan(
        network.name,
        network.gloss,
        network.family,
        sweep(preset, network),
        value=_ratio,
        effect="highest usable rate with BN over without",
        unit="times",
        smallest=_SMALLEST,
        resolution=lambda *runs: 10 ** open_by(runs, upper_only=True),
        unseen=lambda *runs: unseen_rates(runs, upper_only=True),
        note=lambda *runs: range_note(runs, upper_only=True),
    )


def _ratio(*runs: Run) -> float:
    bn, plain = ranges(runs)
    return bn.highest / plain.highest


def _best_rates(preset: Preset, network: Network, runs: Runs) -> Effect:
    """Return the ratio of the rates with the best accuracy, by seed."""
    by_seed = zip(*(runs.of(one) for one in sweep(preset, network)), strict=True)
    values = []
    for of_seed in by_seed:
        bn, plain = (max(half, key=accuracy_at_end).config.lr for half in halves(of_seed))
        values.append(bn / plain)
    return geometric_effect(
        f"{network.gloss.en}: rate with the best accuracy, with BN over without", "times", values
    )
