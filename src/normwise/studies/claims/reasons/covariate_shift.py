"""BN lowers internal covariate shift, and is said to be faster for that."""

from collections.abc import Sequence
from statistics import fmean

from normwise.records import Bilingual, Case, Effect, Figure, Run, RunConfig, Saying, Series, Source, Verdict
from normwise.studies.arms import Runs, Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.claims.reasons.shift_runs import (
    NORMS,
    PUT_BACK,
    SMALLEST,
    drift_steps,
    drifting,
    noise_shifts,
    shift_case,
    shift_networks,
    shift_searches,
    slower_without,
    steps_case,
)
from normwise.studies.claims.reasons.steps_ratio import NORM_LABEL
from normwise.studies.claims.training.tuned_pairs import TARGET
from normwise.studies.judging.drift import drifts
from normwise.studies.judging.intervals import geometric_effect, mean_effect
from normwise.studies.judging.run_queries import result
from normwise.studies.judging.styles import GHOST, STYLE
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import verdict_first

_SAYINGS = (
    Saying("000", "一、什么是BN"),
    Saying("001", "2.2 BN层与深度学习模型的融合"),
    Saying("002", "1.1 Internal Covariate Shift"),
    Saying("003", "引言"),
    Saying("004", "作用"),
)
_SANTURKAR = Source(
    "Santurkar, Tsipras, Ilyas & Madry 2018, How Does Batch Normalization Help Optimization?",
    "§2.1 and figure 2: BN with noise behind it has more shift and trains as fast",
    "https://arxiv.org/abs/1805.11604",
)
_DRIFT = (
    "The shift is how far the distribution of what an activation gets moves in one step: the root of the mean square "
    "of the changes of the units' means and deviations, in units of the layer's deviation, averaged over layers and "
    "steps (of Gaussians the Wasserstein distance)."
)
_SHIFT: dict[Verdict, Bilingual] = {
    "supported": Bilingual(
        "BN keeps what a layer gets steadier while the network learns.", "BN 让每层的输入在训练中更稳定。"
    ),
    "not supported": Bilingual(
        "BN did not keep what a layer gets steadier.", "BN 并没有让每层的输入更稳定。"
    ),
    "depends": Bilingual(
        "BN keeps what a layer gets steadier in some networks only.", "BN 只在部分网络中让层输入更稳定。"
    ),
    "undecided": Bilingual(
        "Whether BN keeps what a layer gets steadier stayed open.", "BN 是否让层输入更稳定，尚无定论。"
    ),
}
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


class CovariateShift(Claim):
    """Shift of what activations get, without BN over with BN."""

    number = 410
    name = "covariate_shift"
    group = "reasons"
    statement = Bilingual(
        "BN lowers internal covariate shift: what a layer gets changes less while the layers before it learn.",
        "BN 减小内部协变量偏移：前面各层学习时，后面一层得到的输入变化更小。",
    )
    says = _SAYINGS
    falsifier = (
        "Without BN, at the learning rate that suits it best, what activations get moves by less than a quarter more "
        "from step to step than with BN: every network."
    )
    rule = (
        f"{_DRIFT} The effect is the ratio of shifts, without BN over with BN, each at the learning rate that reaches "
        f"the target soonest. The smallest ratio that matters is {SMALLEST:g}. Control: noise that is put behind BN "
        f"in each step raises the shift more than {PUT_BACK:g} times, or the measure does not see what it should."
    )
    dated = "2026-11-27"
    sources = (ioffe_szegedy("§1 and §2: the definition; figure 1b and 1c"), _SANTURKAR)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            f"The first {drift_steps(preset)} steps of plain SGD, the shift measured after each on the same 512 "
            "training samples, normalised by their own statistics where there is BN. Beside it, after the last of "
            "them, Santurkar's measure: how far a layer's gradient turns when the layers before it have moved.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return shift_searches(preset)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            shift_case(preset, rate, network, ("none", "batch"), SMALLEST)
            for network in shift_networks(preset)
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return noise_shifts(preset, rate)

    def beside(self, preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
        return tuple(_drifting_runs(preset, rate).values())

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        return tuple(
            mean_effect(
                f"{name}: cosine of a layer's gradients before and after the layers before it moved by 1 %",
                "",
                [float(result(run).measured["gradient_turn"]) for run in runs.of(config)],
            )
            for name, config in _drifting_runs(preset, runs.rate).items()
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            _figure(network, {norm: runs.of(drifting(preset, network, norm, runs.rate)) for norm in NORMS})
            for network in shift_networks(preset)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        measured = Bilingual(
            "How far it moves in a step without BN, compared with BN",
            "不用 BN 时每一步移动的幅度，是用 BN 时的",
        )
        return verdict_first(found, _SHIFT, measured, cases)

    def advice(self, found: Verdict) -> Bilingual:
        return Bilingual(
            "Nothing follows for practice from the shift alone: look at the next claim before you explain BN's speed "
            "by it.",
            "单凭偏移大小还得不出实践建议：用它解释 BN 为何快之前，先看下一条结论。",
        )


class CovariateShiftSpeed(Claim):
    """Steps until a test accuracy, with the shift put back behind BN over with BN."""

    number = 411
    name = "covariate_shift_speed"
    group = "reasons"
    statement = Bilingual(
        "BN is faster because it lowers internal covariate shift.",
        "BN 训练更快，是因为它减小了内部协变量偏移。",
    )
    says = _SAYINGS
    falsifier = (
        "BN whose shift is put back by noise behind it, at the learning rate that suits it best, needs less than a "
        "quarter more steps than BN as it is: every network."
    )
    rule = (
        "The effect is the ratio of steps to the target, with the shift put back behind BN over with BN alone, each at "
        "the learning rate that reaches the target soonest; a run that never reached it counts with its whole budget, "
        "and the interval is widened by what the evaluations leave open. The smallest ratio that matters is "
        f"{SMALLEST:g}. Controls: the noise raises the shift more than {PUT_BACK:g} times over that with BN, and "
        f"without BN more than {SMALLEST:g} times the steps are needed."
    )
    dated = "2026-11-27"
    sources = (ioffe_szegedy("§1: less shift as the reason of the speed"), _SANTURKAR)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            "Noise behind BN, in training: in each step each channel is shifted by up to ±0.5 and scaled by 1 to 1.25, "
            "drawn anew, and each sample by a little more (Santurkar et al. 2018). It slows training in other ways, "
            "too: where it does not, the shift can't be the reason; where it does, the shift may be. The noise need "
            "not bring back all of the shift that there is without BN: if less shift made BN fast, many times its "
            "shift would have to slow it.",
            f"Target: {TARGET:.0%} accuracy with running statistics. Evaluated every 2 steps up to step "
            "40, then after a twentieth of all steps so far.",
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
        return Bilingual(
            "Don't explain BN by covariate shift alone, and don't look for a method that lowers it as such.",
            "不要只用协变量偏移解释 BN，也不必专门寻找“减小偏移”的方法。",
        )


def _drifting_runs(preset: Preset, rate: Rate) -> dict[str, RunConfig]:
    """Return the runs that measure the shift, by network and norm in words."""
    return {
        f"{network.gloss.en}, {NORM_LABEL[norm]}": drifting(preset, network, norm, rate)
        for network in shift_networks(preset)
        for norm in NORMS
    }


def _figure(network: Network, groups: dict[str, list[Run]]) -> Figure:
    def series(norm: str, runs: list[Run]) -> Series:
        of_steps = list(zip(*map(drifts, runs), strict=False))
        return Series(
            label=NORM_LABEL[norm],
            x=tuple(float(step) for step in range(1, len(of_steps) + 1)),
            y=tuple(map(fmean, of_steps)),
            low=tuple(map(min, of_steps)),
            high=tuple(map(max, of_steps)),
            style=STYLE.get(norm, GHOST),
        )

    return Figure(
        name=f"covariate-shift-{network.name}",
        title=f"{network.gloss.en}: shift of what activations get, from step to step",
        caption="Mean over seeds; the band spans the lowest and the highest seed.",
        x_label="step",
        y_label="shift, in deviations",
        y_log=True,
        series=tuple(series(norm, runs) for norm, runs in groups.items()),
    )
