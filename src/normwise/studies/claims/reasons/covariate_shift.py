"""BN is said to lower internal covariate shift."""

import math
from collections.abc import Sequence
from itertools import takewhile
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
)
from normwise.studies.claims.reasons.steps_ratio import NORM_LABEL
from normwise.studies.judging.drift import drifts
from normwise.studies.judging.intervals import geometric_effect, mean_effect
from normwise.studies.judging.run_queries import result
from normwise.studies.judging.styles import GHOST, STYLE
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import verdict_first

#: Tutorials that tell of it.
SAYINGS = (
    Saying("000", "一、什么是BN"),
    Saying("001", "2.2 BN层与深度学习模型的融合"),
    Saying("002", "1.1 Internal Covariate Shift"),
    Saying("003", "引言"),
    Saying("004", "6. 作用: 加速训练过程"),
)
SANTURKAR = Source(
    "Santurkar, Tsipras, Ilyas & Madry 2018, How Does Batch Normalization Help Optimization?",
    "§2.1 and figure 2: BN with noise behind it has more shift and trains as fast",
    "https://arxiv.org/abs/1805.11604",
)
_DRIFT = (
    "The shift is how far the distribution of what an activation gets moves in one step: the root of the mean square "
    "of the changes of the units' 15th, 50th and 85th percentiles, in units of the layer's deviation, averaged over "
    "layers and steps. A part of it holds by definition and is no finding: in training BN fixes the mean and the "
    "deviation of each unit to its β and γ. Percentiles are looked at since it does not fix these."
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


class CovariateShift(Claim):
    """Shift of what activations get, without BN over with BN."""

    number = 410
    name = "covariate_shift"
    group = "reasons"
    statement = Bilingual(
        "BN lowers internal covariate shift: what a layer gets changes less while the layers before it learn.",
        "BN 减小内部协变量偏移：前面各层学习时，后面一层得到的输入变化更小。",
    )
    says = SAYINGS
    falsifier = (
        "Without BN, at the same learning rate, what activations get moves by less than a quarter more from step to "
        "step than with BN: every network."
    )
    rule = (
        f"{_DRIFT} The effect is the ratio of shifts, without BN over with BN, both at the learning rate that "
        "reaches the target soonest with BN, since a longer step moves more. The smallest ratio that matters is "
        f"{SMALLEST:g}. Control: noise that is put behind BN in each step raises the shift more than {PUT_BACK:g} "
        "times, or the measure does not see what it should."
    )
    dated = "2026-11-27"
    revised = (
        "The first rule, which nothing was judged by, looked at means and deviations, which BN fixes by definition, "
        "and at learning rates that differed up to tenfold."
    )
    sources = (ioffe_szegedy("§1 and §2: the definition; figure 1b and 1c"), SANTURKAR)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            f"The first {drift_steps(preset)} steps of plain SGD, the shift measured after each on the same 512 "
            "training samples, normalised by their own statistics where there is BN. Beside it, after the last of "
            "them, Santurkar's measure: how far a layer's gradient turns when the layers before it have moved. "
            "It is another definition of the shift, and may say the contrary.",
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
        shown = (config for _, configs in _drifting_runs(preset, rate) for config in configs.values())
        return (*shown, *(config for plan in _at_own_rates(preset, rate) for config in plan.arms))

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        turns = [
            turn
            for network, configs in _drifting_runs(preset, runs.rate)
            for turn in _turns(network, {norm: runs.of(config) for norm, config in configs.items()})
        ]
        shifts = [
            geometric_effect(
                f"{plan.gloss.en}: {plan.effect}, each at the learning rate that suits it best",
                plan.unit,
                plan.values(runs),
                f"learning rates {plan.arms[0].lr:g} and {plan.arms[1].lr:g}",
            )
            for plan in _at_own_rates(preset, runs.rate)
        ]
        return (*shifts, *turns)

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            _figure(network, {norm: runs.of(config) for norm, config in configs.items()})
            for network, configs in _drifting_runs(preset, runs.rate)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        measured = Bilingual(
            "BN fixes mean and deviation by definition; how far percentiles move without BN, compared with BN",
            "均值和标准差本来就由 BN 固定；不用 BN 时分位数每步移动的幅度，是用 BN 时的",
        )
        return verdict_first(found, _SHIFT, measured, cases)

    def advice(self, found: Verdict) -> Bilingual:
        return Bilingual(
            "Nothing follows for practice from the shift alone, much of which BN takes out by definition: look at the "
            "next claim before you explain BN's speed by it.",
            "单凭偏移大小还得不出实践建议，其中一大部分按定义就被 BN 消除：用它解释 BN 为何快之前，先看下一条。",
        )


def _drifting_runs(preset: Preset, rate: Rate) -> list[tuple[Network, dict[str, RunConfig]]]:
    """Return the runs that measure the shift, by network and norm."""
    return [
        (network, {norm: drifting(preset, network, norm, rate) for norm in NORMS})
        for network in shift_networks(preset)
    ]


def _at_own_rates(preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
    """Return the comparisons of the shifts at the rate that suits each form, in full only."""
    plans = (
        shift_case(preset, rate, network, ("none", "batch"), SMALLEST, own=True)
        for network in shift_networks(preset)
    )
    return preset.pick(quick=(), full=tuple(plans))


def _turns(network: Network, groups: dict[str, list[Run]]) -> tuple[Effect, ...]:
    """Return Santurkar's measure of the shift, of each norm, and a note where BN has more of it."""
    cosines = {norm: list(map(_cosine, runs)) for norm, runs in groups.items()}
    contrary = fmean(cosines["batch"]) < fmean(cosines["none"])
    notes = {"batch": "less than without BN: by this measure BN has more shift"} if contrary else {}
    return tuple(
        mean_effect(
            f"{network.gloss.en}, {NORM_LABEL[norm]}: cosine of a layer's gradients before and after the layers "
            "before it moved by 1 %",
            "",
            values,
            notes.get(norm, ""),
        )
        for norm, values in cosines.items()
    )


def _cosine(run: Run) -> float:
    value = result(run).measured["gradient_turn"]
    return math.nan if value is None else float(value)


def _figure(network: Network, groups: dict[str, list[Run]]) -> Figure:
    def series(norm: str, runs: list[Run]) -> Series:
        of_steps = list(takewhile(_are_finite, zip(*map(drifts, runs), strict=False)))
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
        caption="Mean over seeds; the band spans the lowest and the highest seed. A curve ends where a seed diverged.",
        x_label="step",
        y_label="shift, in deviations",
        y_log=True,
        series=tuple(series(norm, runs) for norm, runs in groups.items()),
    )


def _are_finite(values: Sequence[float]) -> bool:
    return all(map(math.isfinite, values))
