"""BN and correlations between channels."""

from collections.abc import Sequence

from normwise.records import Bilingual, Case, Saying, Source, Verdict
from normwise.studies.case_plan import CasePlan, IdentityPlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.judging.run_queries import result
from normwise.studies.networks import bn_sentences, seeds_sentence, trained_with_bn
from normwise.studies.preset import Preset

_NETWORKS = ("dense_bn", "ioffe_mlp", "mnist_cnn")
#: Largest change of a correlation that is rounding, and the mean correlation that there must be to remove.
_ROUNDING, _CORRELATED = 1e-4, 0.1


class Decorrelation(Claim):
    """Correlations between channels behind BN against those before it."""

    number = 359
    name = "decorrelation"
    group = "use"
    statement = Bilingual("BN decorrelates the data.", "BN 能对数据去相关。")
    says = (Saying("002", "1.2 covariate shift"),)
    falsifier = (
        "Two channels are as correlated behind BN as before it, to rounding, and channels are correlated: on every "
        "network."
    )
    rule = (
        "In float64, on one batch of 256 test samples: the largest difference of two channels' correlation before and "
        f"behind BN (a negative γ turns its sign). Up to {_ROUNDING:g} it is rounding, and the claim is refuted. As a "
        f"control, the mean absolute correlation must be above {_CORRELATED:g}: of independent channels it would be "
        "0.05 here."
    )
    dated = "2026-11-27"
    sources = (
        ioffe_szegedy("§3: each feature is normalised independently, since whitening costs too much"),
        Source(
            "Huang, Yang, Lang & Deng 2018, Decorrelated Batch Normalization",
            "§1: BN does not decorrelate; whitening does",
            "https://arxiv.org/abs/1804.08450",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            *bn_sentences(preset, _NETWORKS),
            "In images a channel is seen at their middle.",
            seeds_sentence(preset, searched=False),
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[IdentityPlan, ...]:
        return tuple(
            IdentityPlan(
                network.name,
                network.gloss,
                network.family,
                (trained_with_bn(preset, network),),
                deviation=lambda run: result(run).measured["moments"]["correlation"],
                effect="change of a correlation by BN",
                unit="",
                rounding=_ROUNDING,
                if_it_holds="refuted",
            )
            for network in map(preset.networks.__getitem__, _NETWORKS)
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"{network.name}, correlated",
                Bilingual(f"{network.gloss.en}: correlated channels", f"{network.gloss.zh}：通道相关"),
                network.family,
                (trained_with_bn(preset, network),),
                value=lambda run: result(run).measured["moments"]["correlated"],
                effect="mean absolute correlation of channels behind BN",
                unit="",
                smallest=_CORRELATED,
            )
            for network in map(preset.networks.__getitem__, _NETWORKS)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        if found == "not supported":
            return Bilingual(
                "Channels are exactly as correlated behind BN as before it: it normalises each on its own.",
                "BN 之后通道间的相关性与之前完全相同：它只对每个通道单独归一化。",
            )
        if found == "undecided":
            return Bilingual("There was no correlation to remove here.", "这里没有可去除的相关性。")
        return Bilingual(
            "BN changed correlations, which its formula can't: look for an error.",
            "BN 改变了相关性，而公式做不到这一点：请检查实现。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        return Bilingual(
            "Use whitening (decorrelated BN, PCA of the inputs) where correlations are the trouble.",
            "如果问题在于相关性，请使用白化（如去相关 BN，或对输入做 PCA）。",
        )
