"""BN reaches a given accuracy in fewer steps."""

from collections.abc import Sequence
from dataclasses import replace

from normwise.records import Bilingual, Case, Figure, Run, RunConfig, Saying, Source, Verdict
from normwise.studies.arms import Runs, Search, reached, steps_between, steps_until
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import LABEL, STYLE
from normwise.studies.networks import ADAM_RATES, CLOSELY, SGD_RATES, arm, seeds_sentence, tuned
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import of_each

_SMALLEST = 1.25
_TARGET = {"quick": 0.90, "full": 0.95}
#: Networks that are trained by other optimisers, too.
_OTHER_OPTIMISERS = ("dense_bn", "mnist_cnn")
#: Name in the study, words for a reader, and what the configuration has for it.
_SGD = Bilingual("plain SGD", "普通 SGD")
_MOMENTUM = Bilingual("SGD with momentum", "带动量的 SGD")
_ADAM = Bilingual("Adam", "Adam")


class FewerSteps(Claim):
    """Steps until a test accuracy, without BN over with BN."""

    number = 10
    name = "fewer_steps"
    group = "training"
    statement = Bilingual("BN needs fewer steps to a given accuracy.", "BN 达到同样准确率所需的步数更少。")
    says = (
        Saying("000", "introduction"),
        Saying("001", "advantages"),
        Saying("002", "what it is for"),
        Saying("003", "advantages"),
        Saying("004", "summary"),
    )
    falsifier = (
        "Without BN, at the learning rate that suits it best, a network needs less than a quarter more steps than with "
        "BN: every network and optimiser."
    )
    rule = (
        "For each network, optimiser and norm the learning rate is chosen that reaches the target soonest. The effect "
        "is the ratio of steps to the target, without BN over with BN; a run counts with the geometric middle between "
        "the evaluation that saw the target reached and the one before, one that never reached it with its whole "
        "budget, and the interval is widened by what the evaluations leave open. The smallest ratio that matters is "
        f"{_SMALLEST:g}."
    )
    dated = "2026-11-27"
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
            f"Target: {_TARGET[preset.name]:.0%} accuracy with running statistics. Evaluated every 2 steps up to step "
            "40, then after a twentieth of all steps so far.",
            f"Learning rates of plain SGD: {_listed(SGD_RATES)}; with momentum 0.9 a tenth of these; of Adam: "
            f"{_listed(ADAM_RATES)}.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(_search(preset, config) for pair in _pairs(preset) for config in pair[2])

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"{network.name}, {optimiser.en}",
                Bilingual(f"{network.gloss.en} ({optimiser.en})", f"{network.gloss.zh}（{optimiser.zh}）"),
                network.family,
                tuple(replace(config, lr=rate(_search(preset, config))) for config in pair),
                value=lambda bn, plain: _until(plain, preset) / _until(bn, preset),
                effect="steps without BN over steps with",
                unit="times",
                smallest=_SMALLEST,
                resolution=lambda bn, plain: _open_by(plain, preset) * _open_by(bn, preset),
                note=lambda bn, plain: _note(bn, plain, preset),
            )
            for network, optimiser, pair in _pairs(preset)
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            _figure(plan.name, plan.gloss, [runs.of(config) for config in plan.arms])
            for plan in self.cases(preset, runs.rate)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            f"Without BN a network needed this many times the steps: {each.en}.",
            f"不用 BN 所需步数是用 BN 的：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        return Bilingual(
            "Use BN where training time counts, and tune the learning rate before you compare: a part of the gain is "
            "that of a rate that suits.",
            "在意训练时间就用 BN；比较之前先调好学习率，因为一部分收益只是学习率合适带来的。",
        )


def _pairs(preset: Preset) -> list[tuple[Network, Bilingual, tuple[RunConfig, RunConfig]]]:
    """Return each network and optimiser, with BN and without."""
    found: list[tuple[Network, Bilingual, tuple[RunConfig, RunConfig]]] = []
    for network in preset.networks.values():
        optimisers = (_SGD, _MOMENTUM, _ADAM) if network.name in _OTHER_OPTIMISERS else (_SGD,)
        for optimiser in optimisers:
            bn, plain = (_config(preset, network, norm, optimiser) for norm in ("batch", "none"))
            found.append((network, optimiser, (bn, plain)))
    return found


def _config(preset: Preset, network: Network, norm: str, optimiser: Bilingual) -> RunConfig:
    config = arm(preset, network, norm, **CLOSELY)
    if optimiser is _ADAM:
        return replace(config, optimizer="adam")
    return replace(config, momentum=0.9) if optimiser is _MOMENTUM else config


def _search(preset: Preset, config: RunConfig) -> Search:
    rates = ADAM_RATES if config.optimizer == "adam" else SGD_RATES
    if config.momentum:
        rates = tuple(rate / 10 for rate in SGD_RATES)
    return tuned(preset, config, rates, _TARGET[preset.name])


def _until(run: Run, preset: Preset) -> float:
    return steps_until(run, _TARGET[preset.name])


def _open_by(run: Run, preset: Preset) -> float:
    low, high = steps_between(run, _TARGET[preset.name])
    return (high / low) ** 0.5


def _note(bn: Sequence[Run], plain: Sequence[Run], preset: Preset) -> str:
    note = f"learning rate {plain[0].config.lr:g} without BN, {bn[0].config.lr:g} with"
    for norm, group, bound in (("none", plain, "a lower bound"), ("batch", bn, "an upper bound")):
        missed = sum(not reached(run, _TARGET[preset.name]) for run in group)
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


def _listed(rates: Sequence[float]) -> str:
    return ", ".join(f"{rate:g}" for rate in rates)
