"""BN and the normal distribution."""

from collections.abc import Sequence

from normwise.records import Bilingual, Case, Run, Saying, Verdict
from normwise.studies.case_plan import CasePlan, IdentityPlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.judging.run_queries import result
from normwise.studies.networks import bn_sentences, seeds_sentence, trained_with_bn
from normwise.studies.preset import Preset

_NETWORKS = ("dense_bn", "ioffe_mlp", "mnist_cnn")
#: Largest change of skewness or kurtosis that is rounding, and the percentage of channels that must not be normal.
_ROUNDING, _NOT_NORMAL = 1e-4, 10.0


class StandardNormal(Claim):
    """Skewness and kurtosis behind BN against those before it."""

    number = 358
    name = "standard_normal"
    group = "use"
    statement = Bilingual(
        "BN makes its outputs follow the standard normal distribution.", "BN 使输出服从标准正态分布。"
    )
    says = (
        Saying("001", "2.1 Batch Normalization简介: 1; 3.1, 3.2"),
        Saying("002", "第二节：Batchnorm 原理解读"),
    )
    falsifier = (
        "BN leaves the skewness and the kurtosis of each channel as they are, to rounding, and channels are not "
        "normally distributed: on every network."
    )
    rule = (
        "In float64, on one batch of 256 test samples: the largest difference of a channel's skewness or kurtosis "
        f"before and behind BN. Up to {_ROUNDING:g} it is rounding, and the claim is refuted. As a control, a "
        f"Jarque-Bera test at 1% must find more than {_NOT_NORMAL:g}% of the channels not normal: of normal ones it "
        "finds 1%."
    )
    dated = "2026-11-27"
    sources = (
        ioffe_szegedy("§3: each feature is made to have mean 0 and variance 1; no word of a normal one"),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            *bn_sentences(preset, _NETWORKS),
            "In images a channel is seen at their middle, so that values are independent.",
            seeds_sentence(preset, searched=False),
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[IdentityPlan, ...]:
        return tuple(
            IdentityPlan(
                network.name,
                network.gloss,
                network.family,
                (trained_with_bn(preset, network),),
                deviation=_change,
                effect="change of skewness or kurtosis by BN",
                unit="",
                rounding=_ROUNDING,
                if_it_holds="refuted",
            )
            for network in map(preset.networks.__getitem__, _NETWORKS)
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"{network.name}, not normal",
                Bilingual(
                    f"{network.gloss.en}: channels that are not normal", f"{network.gloss.zh}：非正态的通道"
                ),
                network.family,
                (trained_with_bn(preset, network),),
                value=lambda run: 100 * result(run).measured["moments"]["not_normal"],
                effect="channels behind BN that are not normally distributed",
                unit="% of the channels",
                smallest=_NOT_NORMAL,
            )
            for network in map(preset.networks.__getitem__, _NETWORKS)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        if found == "not supported":
            return Bilingual(
                "BN shifts and scales each channel to mean 0 and variance 1, and changes nothing else: a skewed "
                "distribution stays as skewed.",
                "BN 只把每个通道平移、缩放到均值 0、方差 1，分布的形状不变：偏态的仍然偏态。",
            )
        if found == "undecided":
            return Bilingual(
                "BN's outputs can't be told from normal ones here.", "这里无法区分 BN 的输出与正态分布。"
            )
        return Bilingual(
            "BN changed the form of a distribution, which its formula can't: look for an error.",
            "BN 改变了分布的形状，而公式做不到这一点：请检查实现。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        return Bilingual(
            "Count on mean 0 and variance 1 before γ and β, never on a normal distribution.",
            "可以依赖 γ、β 之前的零均值和单位方差，但不要假设输出服从正态分布。",
        )


def _change(run: Run) -> float:
    measured = result(run).measured["moments"]
    return max(measured["skewness"], measured["kurtosis"])
