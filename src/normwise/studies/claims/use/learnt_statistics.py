"""Parameters that BN learns by gradient descent."""

from collections.abc import Sequence

from normwise.records import Bilingual, Case, Saying, Verdict
from normwise.studies.case_plan import IdentityPlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.judging.run_queries import result
from normwise.studies.networks import bn_sentences, seeds_sentence, trained_with_bn
from normwise.studies.preset import Preset

_NETWORKS = ("dense_bn", "ioffe_mlp", "mnist_cnn")
_ROUNDING = 1e-12


class LearntStatistics(Claim):
    """BN's stored statistics against running averages of the batches'."""

    number = 360
    name = "learnt_statistics"
    group = "use"
    statement = Bilingual(
        "BN's mean and variance are parameters that gradient descent learns.",
        "BN 的均值和方差是通过梯度下降学习到的参数。",
    )
    says = (Saying("001", "附录 Q3; 2.1, 2; 3.1, 2"),)
    falsifier = (
        "In training the stored mean and variance are, to rounding, running averages of those of the batches, and have "
        "no gradient: on every network."
    )
    rule = (
        "A trained network goes on for 5 steps of gradient descent in float64. The effect is the largest distance of "
        "its stored statistics from running averages that are computed beside it from the layers' inputs alone, "
        f"relative to values above 1; infinite where they are parameters. Up to {_ROUNDING:g} it is rounding, and the "
        "claim is refuted."
    )
    dated = "2026-11-27"
    sources = (ioffe_szegedy("algorithm 1: γ and β are learnt; §3.1: mean and variance are moving averages"),)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            *bn_sentences(preset, _NETWORKS),
            "The momentum of the running averages is 0.1.",
            seeds_sentence(preset, searched=False),
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[IdentityPlan, ...]:
        return tuple(
            IdentityPlan(
                network.name,
                network.gloss,
                network.family,
                (trained_with_bn(preset, network),),
                deviation=lambda run: result(run).measured["statistics_recurrence"],
                effect="distance of BN's statistics from running averages of the batches'",
                unit="",
                rounding=_ROUNDING,
                if_it_holds="refuted",
            )
            for network in map(preset.networks.__getitem__, _NETWORKS)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        if found == "not supported":
            return Bilingual(
                "The mean and variance are running averages of the batches', exactly; gradient descent learns γ and β.",
                "均值和方差正是各批统计量的滑动平均；梯度下降学习的是 γ 和 β。",
            )
        return Bilingual(
            "Some stored statistics are not running averages of the batches': look for an error.",
            "有的统计量不是各批统计量的滑动平均：请检查实现。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        return Bilingual(
            "Save the statistics with the weights though no optimiser knows them; a learning rate of 0 does not freeze "
            "them, evaluation mode does.",
            "统计量不归优化器管，也要和权重一起保存；学习率设为 0 并不会冻结它们，切换到评估模式才会。",
        )
