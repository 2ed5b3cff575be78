"""BN is said to be faster because it lowers internal covariate shift."""

from collections.abc import Sequence

from normwise.records import Bilingual, Case, Effect, RunConfig, Verdict
from normwise.studies.arms import Runs, Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.claims.reasons.covariate_shift import SANTURKAR, SAYINGS
from normwise.studies.claims.reasons.shift_runs import (
    PUT_BACK,
    SMALLEST,
    drifting,
    noise_shifts,
    shift_case,
    shift_networks,
    shift_searches,
    slower_without,
    steps_case,
)
from normwise.studies.claims.training.tuned_pairs import TARGET, closely_sentence
from normwise.studies.judging.intervals import geometric_effect
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Preset
from normwise.studies.wording import verdict_first

_SPEED: dict[Verdict, Bilingual] = {
    "supported": Bilingual(
        "BN was slower with its shift put back: less shift may be a reason of its speed.",
        "加回偏移后 BN 变慢：偏移小可能是它快的一个原因。",
    ),
    "not supported": Bilingual(
        "Less shift is not why BN is fast: with the shift put back it was no slower.",
        "BN 快并不是因为偏移小：加回偏移后它并没有变慢。",
    ),
    "depends": Bilingual(
        "Putting the shift back slowed BN in some networks only.", "加回偏移只在部分网络中拖慢了 BN。"
    ),
    "undecided": Bilingual(
        "Whether BN is fast because of less shift stayed open.", "BN 是否因偏移小才快，尚无定论。"
    ),
}


class CovariateShiftSpeed(Claim):
    """Steps until a test accuracy, with the shift put back behind BN over with BN."""

    number = 411
    name = "covariate_shift_speed"
    group = "reasons"
    statement = Bilingual(
        "BN is faster because it lowers internal covariate shift.",
        "BN 训练更快，是因为它减小了内部协变量偏移。",
    )
    says = SAYINGS
    falsifier = (
        "BN whose shift is put back by noise behind it, at the learning rate that suits it best, needs less than a "
        "quarter more steps than BN as it is: every network."
    )
    rule = (
        "The effect is the ratio of steps to the target, with the shift put back behind BN over with BN alone, each at "
        "the learning rate that reaches the target soonest; a run that never reached it counts with its whole budget, "
        "which makes the ratio a bound, and the interval is widened by what the evaluations leave open. The smallest "
        f"ratio that matters is {SMALLEST:g}. Controls: the noise raises the shift more than {PUT_BACK:g} times over "
        f"that with BN, and without BN more than {SMALLEST:g} times the steps are needed."
    )
    dated = "2026-11-27"
    sources = (ioffe_szegedy("§1: less shift as the reason of the speed"), SANTURKAR)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            "Noise behind BN, in training: in each step each channel is shifted by up to ±0.5 and scaled by 1 to 1.25, "
            "drawn anew, and each sample by a little more (Santurkar et al. 2018). It slows training in other ways, "
            "too: where it does not, the shift can't be the reason; where it does, the shift may be. The noise need "
            "not bring back all of the shift that there is without BN: if less shift made BN fast, many times its "
            "shift would have to slow it.",
            f"Target: {TARGET:.0%} accuracy with running statistics. {closely_sentence()}",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return shift_searches(preset)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            steps_case(preset, rate, network, ("noisy_batch", "batch")) for network in shift_networks(preset)
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return (*slower_without(preset, rate), *noise_shifts(preset, rate))

    def beside(self, preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
        return tuple(drifting(preset, network, "none", rate) for network in shift_networks(preset))

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        return tuple(
            geometric_effect(f"{network.gloss.en}: {plan.effect}", "times", plan.values(runs))
            for network in shift_networks(preset)
            for plan in [shift_case(preset, runs.rate, network, ("noisy_batch", "none"), SMALLEST)]
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        measured = Bilingual(
            "Steps with the shift put back, compared with BN as it is", "加回偏移后所需的步数，是原来的"
        )
        return verdict_first(found, _SPEED, measured, cases)

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "Keep what goes into a layer steady: shift that comes back costs a part of BN's speed.",
                "尽量让层输入保持平稳：偏移一回来，BN 就会失去一部分速度优势。",
            )
        if found == "not supported":
            return Bilingual(
                "Don't explain BN by covariate shift alone, and don't look for a method that lowers it as such.",
                "不要只用协变量偏移解释 BN，也不必专门寻找“减小偏移”的方法。",
            )
        return Bilingual(
            "Leave open why BN is fast; use it for what it does.", "BN 为何快尚无定论；按实际效果选用。"
        )
