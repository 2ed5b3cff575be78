"""A bias between BN and the activation."""

from collections.abc import Sequence

from normwise.records import Bilingual, Case, Effect, RunConfig, Saying, Verdict
from normwise.studies.arms import Runs
from normwise.studies.case_plan import IdentityPlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.claims.use.biases.bias_runs import (
    LR,
    NETWORKS,
    ROUNDING,
    STEPS,
    bias_behind,
    difference,
    with_and_without,
)
from normwise.studies.judging.intervals import geometric_effect
from normwise.studies.judging.run_queries import result
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Preset


class BiasBehindBn(Claim):
    """Outputs with a bias between BN and the activation against those with it added to β."""

    number = 369
    name = "bias_behind_bn"
    group = "use"
    statement = Bilingual(
        "A bias between BN and the activation does nothing that BN does not do already.",
        "BN 层和激活函数之间不需要偏置项，BN 已经实现了偏置的效果。",
    )
    says = (Saying("000", "四、BN的注意事项: 2"),)
    falsifier = (
        "The bias can't be added to β without a change of the outputs beyond rounding: in every network."
    )
    rule = (
        "In float64, with a bias trained between BN and the activation. The deviation is the largest change of an "
        "output when the bias is added to BN's β and set to 0, in deviations of all outputs. Up to "
        f"{ROUNDING:g} it is rounding."
    )
    dated = "2026-11-27"
    sources = (ioffe_szegedy("§3.2: β does the bias's part"),)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            f"{STEPS} steps of plain SGD, learning rate {LR:g}, batch 60, float64. The networks can compute the same "
            "with and without that bias; they don't train alike, since β and the bias move together, twice as fast as "
            "β alone.",
            seeds_sentence(preset, searched=False),
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[IdentityPlan, ...]:
        return tuple(
            IdentityPlan(
                name,
                preset.networks[name].gloss,
                preset.networks[name].family,
                (bias_behind(preset, name),),
                deviation=lambda run: result(run).measured["merged_bias"],
                effect="change of an output when the bias is added to β",
                unit="",
                rounding=ROUNDING,
            )
            for name in NETWORKS
        )

    def beside(self, preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
        return tuple(with_and_without(preset, name, "batch")[0] for name in NETWORKS)

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        return tuple(
            geometric_effect(
                f"{name}: largest difference of the loss while training, by the bias behind BN",
                "% of the loss",
                [
                    100 * difference(literal, plain)
                    for literal, plain in zip(
                        runs.of(bias_behind(preset, name)),
                        runs.of(with_and_without(preset, name, "batch")[0]),
                        strict=True,
                    )
                ],
            )
            for name in NETWORKS
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "A bias behind BN can be added to β and the network computes the same, to rounding; all that it "
                "changes is that β learns twice as fast with plain SGD.",
                "BN 之后的偏置可以并入 β，网络的计算结果不变（只差舍入误差）；它"
                "唯一的作用是让 β 在普通 SGD 下学得快一倍。",
            )
        return Bilingual(
            "A bias behind BN could not be added to β: look for an error.",
            "BN 之后的偏置无法并入 β：请检查实现。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        return Bilingual("Add no bias behind BN; its β is one.", "BN 之后不要再加偏置，β 就是偏置。")
