"""BN makes the scale of the initial weights matter less."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from normwise.records import Bilingual, Brief, Case, Figure, Run, RunConfig, Saying, Source, Verdict
from normwise.studies.arms import Runs, Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.judging.bounds import Unseen
from normwise.studies.judging.run_queries import final_accuracy
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import DIVERGED, LABEL, STYLE
from normwise.studies.judging.usable_range import SHARE, UsableRange, best_accuracy
from normwise.studies.networks import arm, seeds_sentence
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import verdict_first

T = TypeVar("T")

_SCALES = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
_RATES = {"quick": (0.1, 0.3), "full": (0.03, 0.1, 0.3)}
_NORMS = ("batch", "none")
_SMALLEST = 0.3
#: Accuracy that a network must reach at its best scale for its range to mean anything, in points.
_LEARNS = 60.0
#: Hidden layers and optimiser steps.
_QUICK, _FULL = {2: 55, 4: 80}, {2: 400, 4: 400, 10: 500}


class InitialScale(Claim):
    """Decades of initial scales that still train, with BN and without."""

    number = 40
    name = "initial_scale"
    group = "training"
    statement = Bilingual(
        "BN makes the scale of the initial weights matter less.", "BN 降低了对权重初始值大小的依赖。"
    )
    says = (
        Saying("000", "二、BN的优点 2、减少对超参数的依赖"),
        Saying("002", "第一节 1.1 Internal Covariate Shift"),
        Saying("003", "批标准化的优缺点：稳定性增强"),
        Saying("004", "作用：提高模型的泛化能力"),
    )
    falsifier = (
        "The range of initial scales that trains is less than twice as wide with BN as without, although each scale "
        "has the learning rate that suits it: at every depth."
    )
    rule = (
        f"A scale is usable where the run did not diverge and ended at {SHARE:.0%} or more of the best accuracy that "
        "the same form of the network, with BN or without, reached at any scale. The width is the distance of the "
        "lowest usable scale from the highest around the best one, in factors of ten. The effect is the width with BN "
        "less the width without, by seed; the interval is widened by the sweep's steps at the two ends of a "
        f"range. The smallest that matters is {_SMALLEST:g}, a factor of two. A range that reaches an end of the sweep "
        "makes the effect a bound, with BN a lower and without an upper one; where both do, nothing is measured."
    )
    dated = "2026-11-27"
    brief = Brief(
        "gain",
        Bilingual("tolerance of careless initial weights", "对权重初始值的宽容"),
        Bilingual("Do not spend time on the scale of initial weights", "不必在权重初始值上花时间"),
    )
    revised = (
        "The first rule scaled the output layer, too, which has no BN behind it, had one learning rate for all scales, "
        "and measured both forms by the better one's accuracy."
    )
    sources = (
        ioffe_szegedy("§1 and §3.3: less careful about initialization, resilience to the parameter scale"),
        Source(
            "Glorot & Bengio 2010, Understanding the difficulty of training deep feedforward neural networks",
            "§4: what the initial scale does without BN",
            "https://proceedings.mlr.press/v9/glorot10a.html",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        networks = ", ".join(f"{one.gloss.en} ({one.steps} steps)" for one in _networks(preset))
        scales, rates = (
            ", ".join(f"{value:g}" for value in values) for values in (_SCALES, _RATES[preset.name])
        )
        return (
            f"Networks of dense layers with ReLU: {networks}. Their hidden layers start from the weights of He et al. "
            f"2015 times {scales}, the output layer from its own. Plain SGD, batches of 60.",
            "A network of one hidden layer is no case: in rehearsals it trained at all these scales, with BN and "
            "without, so that neither range was seen to end.",
            f"Learning rates to choose from, for each scale and form: {rates}. "
            f"Each form must reach {_LEARNS:.0f}% at its best scale, or nothing is concluded.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(search for network in _networks(preset) for search in _searches(preset, network))

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                network.name,
                network.gloss,
                network.family,
                _arms(preset, network, rate),
                value=_gain,
                effect="width of the usable range with BN less without",
                unit="decades",
                smallest=_SMALLEST,
                resolution=_open_by,
                unseen=_unseen,
                note=_note,
            )
            for network in _networks(preset)
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"{network.name} learns",
                Bilingual(f"{network.gloss.en} learn in both forms", f"{network.gloss.zh}两种形式都能学会"),
                network.family,
                _arms(preset, network, rate),
                value=lambda *runs: 100 * min(map(best_accuracy, _halves(runs))),
                effect="accuracy at the best scale, of the worse form",
                unit="percentage points",
                smallest=_LEARNS,
            )
            for network in _networks(preset)
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            _figure(network, [runs.of(one) for one in _arms(preset, network, runs.rate)])
            for network in _networks(preset)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        return verdict_first(
            found,
            {
                "supported": Bilingual(
                    "With BN the initial scale matters less.", "用 BN 时初始权重的大小不那么重要。"
                ),
                "not supported": Bilingual(
                    "With BN the initial scale matters as much as without.",
                    "用 BN 时初始权重的大小同样重要。",
                ),
                "depends": Bilingual(
                    "With BN the initial scale matters less, at some depths only.",
                    "只在部分深度下，用 BN 时初始权重的大小不那么重要。",
                ),
            },
            Bilingual(
                "Width of the usable range, with BN over without",
                "可用范围的宽度（最大与最小之比），用 BN 是不用 BN 的",
            ),
            cases,
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "With BN a careless scale of the initial weights does little harm; without it, use He's.",
                "用 BN 时初始化不必太讲究；不用 BN 时请用 He 初始化。",
            )
        return Bilingual(
            "Initialise with care (He's weights for ReLU) with BN, too.",
            "即使用 BN，也要认真初始化（ReLU 用 He 初始化）。",
        )


def _networks(preset: Preset) -> tuple[Network, ...]:
    return tuple(
        Network(
            f"dense_{depth}",
            Bilingual(f"{depth} hidden layer{'s' * (depth > 1)}", f"{depth} 个隐藏层"),
            "deep" if depth > 3 else "dense",
            "plain_mlp",
            steps,
            0.1,
            options={"depth": depth, "init": "he"},
        )
        for depth, steps in preset.pick(quick=_QUICK, full=_FULL).items()
    )


def _searches(preset: Preset, network: Network) -> tuple[Search, ...]:
    """Return the choice of a rate for each scale, first all with BN, then all without."""
    return tuple(
        Search(arm(preset, network, norm, options={"hidden_scale": scale}), _RATES[preset.name])
        for norm in _NORMS
        for scale in _SCALES
    )


def _arms(preset: Preset, network: Network, rate: Rate) -> tuple[RunConfig, ...]:
    return tuple(replace(search.arm, lr=rate(search)) for search in _searches(preset, network))


def _halves(of_both: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    return of_both[: len(_SCALES)], of_both[len(_SCALES) :]


def _ranges(runs: Sequence[Run]) -> tuple[UsableRange, UsableRange]:
    bn, plain = _halves(runs)
    return UsableRange.of(_SCALES, bn), UsableRange.of(_SCALES, plain)


def _gain(*runs: Run) -> float:
    bn, plain = _ranges(runs)
    return bn.width - plain.width


def _open_by(*runs: Run) -> float:
    """Return how far, in decades, a range may go on between the scales of the sweep, of the form that may more."""
    return max(one.step_below + one.step_above for one in _ranges(runs))


def _unseen(*runs: Run) -> Unseen:
    bn, plain = _ranges(runs)
    return Unseen(below=bool(plain.goes_on), above=bool(bn.goes_on))


def _note(*of_arms: Sequence[Run]) -> str:
    """Return where the ranges lie and which reach an end of the sweep."""
    note: list[str] = []
    pairs = [_ranges(of_seed) for of_seed in zip(*of_arms, strict=True)]
    for place, norm in enumerate(_NORMS):
        own = [pair[place] for pair in pairs]
        low, high = min(one.values[one.low] for one in own), max(one.highest for one in own)
        bound = "a lower bound" if norm == "batch" else "an upper bound"
        ends = any(one.goes_on for one in own)
        note.append(
            f"{LABEL[norm]} usable from {low:g} to {high:g}"
            + (f", an end of the sweep: {bound}" if ends else "")
        )
    return "; ".join(note)


def _figure(network: Network, of_arms: Sequence[Sequence[Run]]) -> Figure:
    return Figure(
        name=f"initial-scale-{network.name.replace('_', '-')}",
        title=f"{network.gloss.en}: test accuracy after training, by scale of the initial weights",
        caption="1 is the scale of He et al. Mean over seeds; the band spans the lowest and the highest seed. "
        f"{DIVERGED}",
        x_label="factor on the initial weights",
        y_label="test accuracy",
        x_log=True,
        y_percent=True,
        series=tuple(
            spread_series(LABEL[norm], _SCALES, half, final_accuracy, STYLE[norm])
            for norm, half in zip(_NORMS, _halves(of_arms), strict=True)
        ),
    )
