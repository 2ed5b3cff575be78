"""BN before or after the activation."""

from collections.abc import Sequence
from dataclasses import replace

from normwise.records import Bilingual, Case, Effect, Figure, Run, RunConfig, Saying, Source, Verdict
from normwise.studies.arms import (
    Runs,
    Search,
    accuracy_at_end,
    reached,
    steps_between,
    steps_until,
    unseen_steps,
)
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.judging.intervals import mean_effect
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import BATCH, RECOMPUTED
from normwise.studies.networks import CLOSELY, SGD_RATES, arm, seeds_sentence, tuned
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import of_each

_SMALLEST = 1.25
#: Learning rates to choose from in full, by network: so that the best is not at an edge.
_FULL_RATES = {
    "ioffe_mlp": (0.3, 1.0, 3.0),
    "dense_bn": SGD_RATES,
    "mnist_cnn": (0.03, 0.1, 0.3),
    "cnn_32": (0.01, 0.03, 0.1),
}
_PLACES = ("after", "before")
_QUICK_STEPS = {"ioffe_mlp": 200, "dense_bn": 150, "mnist_cnn": 90}
_FULL_STEPS = {"ioffe_mlp": 3000, "dense_bn": 1000, "mnist_cnn": 250, "cnn_32": 300}
_CNN_32 = Bilingual("convolutional net of the tutorials", "教程中的卷积网")


class Placement(Claim):
    """Steps to a test accuracy, BN after the activation over BN before it."""

    number = 352
    name = "placement"
    group = "use"
    statement = Bilingual(
        "BN belongs before the activation: it trains faster there.", "BN 应放在激活函数之前，这样训练更快。"
    )
    says = (
        Saying("003", "图像分类中的批标准化: 2. 实际案例"),
        Saying("004", "3. 使用 BatchNorm 的一般建议: 1; 在神经网络中的位置和作用: 位置"),
        Saying("000", "三、BN的使用: 1, 2 (code)"),
    )
    falsifier = (
        "With BN after the activation, at the learning rate that suits it best, a network needs less than a quarter "
        "more steps to the target than with BN before: every network."
    )
    rule = (
        "For each place the learning rate is chosen that reaches the target soonest. The effect is the ratio of steps "
        "to the target, BN after the activation over BN before; a run counts with the geometric middle between the "
        "evaluation that saw the target reached and the one before, one that never reached it with its whole budget, "
        "which makes the ratio a bound, and the interval is widened by what the evaluations leave open. The smallest "
        f"ratio that matters is {_SMALLEST:g}."
    )
    dated = "2026-11-27"
    presets = ("quick", "full", "gpu")
    sources = (
        ioffe_szegedy("§3.2: BN is put before the nonlinearity, since what comes out of it changes its form"),
        Source(
            "Mishkin 2016, CaffeNet benchmark",
            "batchnorm.md, on ImageNet at 128 pixels: CaffeNet 49.9% after the ReLU, 47.4% before; GoogLeNet 59.6% "
            "after, 60.7% before",
            "https://github.com/ducha-aiki/caffenet-benchmark/blob/master/batchnorm.md",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            f"Target: {_target(preset):.0%} accuracy with running statistics. Evaluated every 2 steps up to step "
            "40, then after a twentieth of all steps so far.",
            "Plain SGD, for either place the best of these learning rates. "
            + " ".join(
                f"{network.gloss.en}: {network.steps:,} steps, rates "
                f"{', '.join(f'{rate:g}' for rate in _rates(preset, network))}."
                for network in _networks(preset)
            ),
            "The code of tutorials 001 and 003 has BN after the ReLU, though 003's and 004's text has it before.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(_search(preset, network, place) for network in _networks(preset) for place in _PLACES)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        target = _target(preset)
        return tuple(
            CasePlan(
                network.name,
                network.gloss,
                network.family,
                tuple(
                    replace(_config(preset, network, place), lr=rate(_search(preset, network, place)))
                    for place in _PLACES
                ),
                value=lambda after, before: steps_until(after, target) / steps_until(before, target),
                effect="steps with BN after the activation over steps with BN before",
                unit="times",
                smallest=_SMALLEST,
                resolution=lambda after, before: _open_by(after, target) * _open_by(before, target),
                unseen=lambda after, before: unseen_steps(after, before, target),
                note=lambda after, before: _note(after, before, target),
            )
            for network in _networks(preset)
        )

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        effects: list[Effect] = []
        for plan in self.cases(preset, runs.rate):
            after, before = (map(accuracy_at_end, runs.of(config)) for config in plan.arms)
            gained = [100 * (first - last) for first, last in zip(before, after, strict=True)]
            name = f"{plan.name}: accuracy at the end with BN before, less that with BN after"
            effects.append(mean_effect(name, "percentage points", gained))
        return tuple(effects)

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            Figure(
                name=f"placement-{plan.name}",
                title=f"{plan.gloss.en}: test accuracy while training",
                caption="Mean over seeds; the band spans the lowest and the highest seed.",
                x_label="steps",
                y_label="test accuracy",
                y_percent=True,
                series=tuple(
                    curve_series(f"BN {place} the activation, rate {config.lr:g}", runs.of(config), style)
                    for place, config, style in zip(_PLACES, plan.arms, (RECOMPUTED, BATCH), strict=True)
                ),
            )
            for plan in self.cases(preset, runs.rate)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            f"BN after the activation needed this many times the steps of BN before it: {each.en}.",
            f"BN 放在激活之后所需步数是放在之前的：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual("Put BN before the activation.", "把 BN 放在激活函数之前。")
        if found == "undecided":
            return Bilingual(
                "Either place will do until you have measured; before it, leave out the bias of the layer.",
                "没有实测之前两种位置都可以；放在激活之前时，去掉前一层的偏置。",
            )
        return Bilingual(
            "Try BN after the activation, too: no rule says before. Before it, leave out the bias of the layer.",
            "也试试放在激活之后，“必须在前”并不成立；放在激活之前时，去掉前一层的偏置。",
        )


def _networks(preset: Preset) -> tuple[Network, ...]:
    if preset.name == "gpu":
        return preset.networks["mlp_40"], preset.networks["wide_cnn"]
    conv = preset.networks["mnist_cnn"]
    known = {**preset.networks, "cnn_32": replace(conv, name="cnn_32", gloss=_CNN_32, model="cnn_32")}
    steps = preset.pick(quick=_QUICK_STEPS, full=_FULL_STEPS)
    return tuple(
        replace(
            known[name],
            steps=count,
            # Evaluations are close, and of a convolutional net they cost more than the steps.
            test_samples=preset.pick(quick=None, full=1000) if known[name].family == "convolution" else None,
        )
        for name, count in steps.items()
    )


def _config(preset: Preset, network: Network, place: str) -> RunConfig:
    # The network's own place is no option, so that runs are shared with claims that vary none.
    own = "after" if network.model in ("mnist_cnn", "cnn_64") else "before"
    return arm(preset, network, "batch", options={} if place == own else {"placement": place}, **CLOSELY)


def _search(preset: Preset, network: Network, place: str) -> Search:
    return tuned(preset, _config(preset, network, place), _rates(preset, network), _target(preset))


def _rates(preset: Preset, network: Network) -> tuple[float, ...]:
    return _FULL_RATES[network.name] if preset.name == "full" else SGD_RATES[1:-1]


def _target(preset: Preset) -> float:
    return preset.pick(quick=0.95, full=0.9, gpu=0.8)


def _open_by(run: Run, target: float) -> float:
    low, high = steps_between(run, target)
    return (high / low) ** 0.5


def _note(after: Sequence[Run], before: Sequence[Run], target: float) -> str:
    note = f"learning rate {after[0].config.lr:g} after, {before[0].config.lr:g} before"
    for place, group, bound in (("after", after, "a lower bound"), ("before", before, "an upper bound")):
        missed = sum(not reached(run, target) for run in group)
        if missed:
            note += f"; {missed} of {len(group)} with BN {place} never got there: {bound}"
    return note
