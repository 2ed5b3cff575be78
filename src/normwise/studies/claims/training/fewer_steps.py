"""BN reaches a given accuracy in fewer steps."""

import math
from collections.abc import Sequence

from normwise.records import Bilingual, Brief, Case, Effect, Figure, Run, RunConfig, Saying, Source, Verdict
from normwise.studies.arms import Runs, Search, reached, steps_between, steps_until, unseen_steps
from normwise.studies.case_plan import CasePlan, IdentityPlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.claims.training.figure_1 import figure_1, figure_1_runs, figure_1_sentence
from normwise.studies.claims.training.tuned_pairs import (
    TARGET,
    TunedPair,
    arrives,
    at_others_rate,
    budget_sentence,
    closely_sentence,
    pairs,
    rates_sentence,
)
from normwise.studies.judging.intervals import geometric_effect
from normwise.studies.judging.run_queries import result
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import LABEL, STYLE
from normwise.studies.networks import seeds_sentence, timed
from normwise.studies.preset import Preset
from normwise.studies.wording import verdict_first

_SMALLEST = 1.25


class FewerSteps(Claim):
    """Steps until a test accuracy, without BN over with BN."""

    number = 10
    name = "fewer_steps"
    group = "training"
    statement = Bilingual("BN needs fewer steps to a given accuracy.", "BN 达到同样准确率所需的步数更少。")
    says = (
        Saying("000", "一、什么是BN；二、BN的优点 1、加速训练"),
        Saying("001", "2.1 Batch Normalization简介"),
        Saying("002", "前言"),
        Saying("003", "批标准化的优缺点：加速收敛"),
        Saying("004", "作用：加速训练过程"),
    )
    falsifier = (
        "Without BN, at the learning rate that suits it best, a network needs less than a quarter more steps than with "
        "BN: every network and optimiser."
    )
    rule = (
        "For each network, optimiser and norm the learning rate is chosen that reaches the target soonest. The effect "
        "is the ratio of steps to the target, without BN over with BN; a run counts with the geometric middle between "
        "the evaluation that saw the target reached and the one before, one that never reached it with its whole "
        "budget, which makes the ratio a bound, and the interval is widened by what the evaluations leave open. With "
        "each seed one of the two must reach the target, or nothing is concluded. The smallest ratio that matters is "
        f"{_SMALLEST:g}."
    )
    dated = "2026-11-27"
    brief = Brief(
        "gain",
        Bilingual("fewer training steps", "更少的训练步数"),
        Bilingual("Use it where the number of steps counts", "在意训练步数就用它"),
    )
    revised = (
        "The first rule called every ratio above 1 shown, looked at coarser steps, chose rates on the runs it judged, "
        "and knew plain SGD only."
    )
    sources = (
        ioffe_szegedy(
            "§4.1 and figure 1: MNIST; §4.2.2 and figure 2: 2.3 to 15 times fewer steps on ImageNet"
        ),
        Source(
            "Bjorck, Gomes, Selman & Weinberger 2018, Understanding Batch Normalization",
            "abstract and §2: the gain comes through larger learning rates",
            "https://arxiv.org/abs/1806.02375",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            f"Target: {TARGET:.0%} accuracy with running statistics. {closely_sentence()}",
            budget_sentence(preset, pairs(preset)),
            rates_sentence(pairs(preset)),
            "Seconds to the target stand beside, and decide nothing: the ratio of steps times that of a step's "
            "processor time with plain SGD, measured with and without BN by turns.",
            seeds_sentence(preset),
            *preset.pick(quick=(), full=(figure_1_sentence(),)),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(search for pair in pairs(preset) for search in pair.searches)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                pair.name,
                pair.gloss,
                pair.family,
                pair.arms(rate),
                value=lambda bn, plain: _ratio(bn, plain),
                effect="steps without BN over steps with",
                unit="times",
                smallest=_SMALLEST,
                resolution=lambda bn, plain: _open_by(plain) * _open_by(bn),
                unseen=lambda bn, plain: unseen_steps(plain, bn, TARGET),
                note=lambda bn, plain: _note(bn, plain),
            )
            for pair in pairs(preset)
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[IdentityPlan, ...]:
        return tuple(arrives(pair, rate, of_forms=any) for pair in pairs(preset))

    def beside(self, preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
        timing = (timed(preset, pair.network) for pair in pairs(preset) if pair.is_plain_sgd)
        return (*timing, *(arm for _, arm, _ in at_others_rate(preset, pairs(preset), rate)))

    def runs(self, preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
        return (*super().runs(preset, rate), *figure_1_runs(preset))

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        seconds = tuple(_seconds(preset, pair, runs) for pair in pairs(preset) if pair.is_plain_sgd)
        return seconds + tuple(
            geometric_effect(
                f"{gloss.en}: steps without BN over steps with, both at the rate that suits the form without",
                "times",
                [_ratio(one, other) for one, other in zip(runs.of(bn), runs.of(plain), strict=True)],
            )
            for gloss, bn, plain in at_others_rate(preset, pairs(preset), runs.rate)
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        own = tuple(
            _figure(plan.name, plan.gloss, [runs.of(config) for config in plan.arms])
            for plan in self.cases(preset, runs.rate)
        )
        papers = [runs.one(config) for config in figure_1_runs(preset)]
        return (*own, *figure_1(*papers)) if papers else own

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        return verdict_first(
            found,
            {
                "supported": Bilingual("BN saved steps in every test.", "所有测试中 BN 都减少了步数。"),
                "not supported": Bilingual("BN saved hardly any steps.", "BN 几乎没有减少步数。"),
                "depends": Bilingual("BN saved steps in some networks only.", "BN 只在部分网络中减少步数。"),
            },
            Bilingual("Steps without BN over steps with", "不用 BN 的步数是用 BN 的"),
            cases,
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "Use BN where training time counts, and tune the learning rate before you compare.",
                "在意训练时间就用 BN；比较之前先调好学习率。",
            )
        return Bilingual(
            "Tune the learning rate, and try Adam, before you expect BN to save steps.",
            "先调好学习率、试试 Adam，再看 BN 能否减少步数。",
        )


def _seconds(preset: Preset, pair: TunedPair, runs: Runs) -> Effect:
    """Return the ratio of seconds to the target: of the steps, times that of a step's time."""
    values = list[float]()
    bn, plain = (runs.of(config) for config in pair.arms(runs.rate))
    for one, other, step in zip(bn, plain, runs.of(timed(preset, pair.network)), strict=True):
        taken = result(step).measured["cost"]["step"]
        values.append(_ratio(one, other) * taken["none"] / taken["batch"])
    return geometric_effect(
        f"{pair.gloss.en}: seconds to the target without BN over with",
        "times",
        values,
        _note(bn, plain),
    )


def _ratio(bn: Run, plain: Run) -> float:
    """Return the ratio of steps without BN over with; NaN where neither run arrived."""
    if not (reached(bn, TARGET) or reached(plain, TARGET)):
        return math.nan
    return steps_until(plain, TARGET) / steps_until(bn, TARGET)


def _open_by(run: Run) -> float:
    low, high = steps_between(run, TARGET)
    return (high / low) ** 0.5


def _note(bn: Sequence[Run], plain: Sequence[Run]) -> str:
    note = f"learning rate {plain[0].config.lr:g} without BN, {bn[0].config.lr:g} with"
    for norm, group, bound in (("none", plain, "a lower bound"), ("batch", bn, "an upper bound")):
        missed = sum(not reached(run, TARGET) for run in group)
        if missed:
            note += f"; {missed} of {len(group)} {LABEL[norm]} never got there: {bound}"
    return note


def _figure(name: str, gloss: Bilingual, groups: Sequence[Sequence[Run]]) -> Figure:
    return Figure(
        name=f"fewer-steps-{name.replace(', ', '-').replace(' ', '-')}",
        title=f"{gloss.en}: test accuracy while training",
        caption="Mean over seeds; the band spans the lowest and the highest seed.",
        x_label="steps",
        y_label="test accuracy",
        y_percent=True,
        series=tuple(
            curve_series(f"{LABEL[norm]}, learning rate {group[0].config.lr:g}", group, STYLE[norm])
            for norm, group in zip(("batch", "none"), groups, strict=True)
        ),
    )
