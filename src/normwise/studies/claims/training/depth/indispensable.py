"""BN is indispensable."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from normwise.records import (
    Bilingual,
    Case,
    ClaimResult,
    Effect,
    Figure,
    Option,
    Run,
    RunConfig,
    Saying,
    Source,
    Verdict,
    estimate_words,
)
from normwise.studies.arms import Runs, Search, accuracy_after, accuracy_at_end
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.judging.intervals import mean_effect
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import GROUP, LABEL, STYLE
from normwise.studies.networks import arm, seeds_sentence
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import verdict_first

_SMALLEST = 1.0
#: Accuracy that BN must reach for the comparison to mean anything, in points.
_TRAINS = 90.0
#: After so many times the steps in which BN gets ahead, the forms are compared.
_TIMES = 6


@dataclass(frozen=True)
class _Form:
    """A way to build the network, the rates to choose from, and its style in a figure."""

    label: str
    norm: str
    options: tuple[tuple[str, Option], ...]
    rates: tuple[float, ...]
    style: int


_BN = _Form(LABEL["batch"], "batch", (), (0.1, 0.3, 1.0), STYLE["batch"])
_PLAIN = _Form("without BN", "none", (), (0.1, 0.3, 1.0), STYLE["none"])
#: What goes through grows from block to block, and more of them bear smaller rates.
_PLAIN_20 = replace(_PLAIN, rates=(0.003, 0.01, 0.03, 0.1))
_SKIP = _Form("without BN, SkipInit", "none", (("skip_init", True),), (0.1, 0.3, 1.0), GROUP)
_LAYER = _Form(LABEL["layer"], "layer", (), (0.1, 0.3, 1.0), STYLE["layer"])


class Indispensable(Claim):
    """Accuracy of a residual network with BN, less the best of its forms without BN."""

    number = 110
    name = "indispensable"
    group = "training"
    statement = Bilingual("BN is an indispensable part of deep networks.", "BN 是深度网络必不可少的一部分。")
    says = (Saying("000", "五、总结"), Saying("002", "前言"))
    falsifier = (
        "After a long training some form of a residual network without BN comes within a point of the accuracy that "
        "the network has with BN: every depth."
    )
    rule = (
        "The effect is the accuracy with BN less the best of any form without, by seed, both after "
        f"{_TIMES} times the steps in which BN gets ahead: a network that is merely slow without BN has arrived by "
        "then, and with BN it has, too. Each form has the learning rate that does best for it. The best form is that "
        "with the highest test accuracy with this seed, which favours the forms without BN. The smallest that matters "
        f"is {_SMALLEST:g} point. With BN the network must reach {_TRAINS:g}%, or nothing is concluded. Beside stand "
        "the difference after the fewer steps, and that of BN after the fewer and the others after the more."
    )
    dated = "2026-11-27"
    sources = (
        Source(
            "De & Smith 2020, Batch Normalization Biases Residual Blocks Towards the Identity Function in Deep "
            "Networks",
            "§4: SkipInit",
            "https://arxiv.org/abs/2002.10444",
        ),
        Source(
            "Zhang, Dauphin & Ma 2019, Fixup Initialization: Residual Learning Without Normalization",
            "abstract: residual networks of 10,000 layers without normalization",
            "https://arxiv.org/abs/1901.09321",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        networks = _networks(preset)
        steps = networks[0].steps
        forms = " ".join(
            f"{network.gloss.en[:1].upper()}{network.gloss.en[1:]}: "
            + "; ".join(
                f"{form.label} ({', '.join(f'{rate:g}' for rate in form.rates)})"
                for form in _forms(preset, network)
            )
            + "."
            for network in networks
        )
        return (
            "The residual network of He et al. 2016 with 8 channels in its first stage, biases and He's initial "
            f"weights, on 8×8 digits. Plain SGD, batches of 60, {_TIMES} times {steps} steps for each form.",
            f"Forms, with the learning rates to choose from, on runs of a third of the steps. {forms} "
            "SkipInit starts each block as its shortcut; it and LayerNorm stand in the full study alone, LayerNorm "
            "with the smaller network.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(
            _search(preset, network, form)
            for network in _networks(preset)
            for form in _forms(preset, network)
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                network.name,
                network.gloss,
                network.family,
                _arms(preset, network, rate),
                value=lambda bn, *others: 100 * (accuracy_at_end(bn) - max(map(accuracy_at_end, others))),
                effect=f"accuracy with BN less the best without, both after {_TIMES} times the steps",
                unit="percentage points",
                smallest=_SMALLEST,
            )
            for network in _networks(preset)
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"{network.name} trains",
                Bilingual(f"{network.gloss.en} trains with BN", f"{network.gloss.zh}有 BN 时能训练"),
                network.family,
                _arms(preset, network, rate)[:1],
                value=lambda bn: 100 * accuracy_at_end(bn),
                effect="accuracy with BN",
                unit="percentage points",
                smallest=_TRAINS,
            )
            for network in _networks(preset)
        )

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        found: list[Effect] = []
        for network in _networks(preset):
            bn, *others = (runs.of(one) for one in _arms(preset, network, runs.rate))
            for times, name in (
                (1, f"the best without, both after {network.steps} steps"),
                (
                    _TIMES,
                    f"the best without after {_TIMES} times as many, with BN after {network.steps} steps",
                ),
            ):
                lead = [_lead(network.steps, times, *of_seed) for of_seed in zip(bn, *others, strict=True)]
                found.append(
                    mean_effect(
                        f"{network.gloss.en}: accuracy with BN less {name}", "percentage points", lead
                    )
                )
            for form, group in zip(_forms(preset, network)[1:], others, strict=True):
                gap = [
                    100 * (accuracy_at_end(one) - accuracy_at_end(other))
                    for one, other in zip(bn, group, strict=True)
                ]
                name = (
                    f"{network.gloss.en}: accuracy with BN less {form.label}, "
                    f"both after {_TIMES} times the steps"
                )
                found.append(mean_effect(name, "percentage points", gap))
        return tuple(found)

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            Figure(
                name=f"indispensable-{network.name.replace('_', '-')}",
                title=f"{network.gloss.en}: test accuracy while training",
                caption="Mean over seeds; the band spans the lowest and the highest seed.",
                x_label="steps",
                y_label="test accuracy",
                y_percent=True,
                series=tuple(
                    curve_series(form.label, runs.of(config), form.style)
                    for form, config in zip(
                        _forms(preset, network), _arms(preset, network, runs.rate), strict=True
                    )
                ),
            )
            for network in _networks(preset)
        )

    def result(self, preset: Preset, runs: Runs) -> ClaimResult:
        """Return the outcome; its take-away says the lead after fewer steps, too."""
        result = super().result(preset, runs)
        equal = next(effect for effect in result.further if "both after" in effect.name)
        words, network = estimate_words(equal), _networks(preset)[0]
        said, gloss = result.takeaway, network.gloss
        return replace(
            result,
            takeaway=Bilingual(
                f"{said.en} After {network.steps} steps each, {words.en} ({gloss.en}).",
                f"{said.zh}都只训练 {network.steps} 步时为 {words.zh}（{gloss.zh}）。",
            ),
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        return verdict_first(
            found,
            {
                "supported": Bilingual("BN is indispensable here.", "在这里 BN 必不可少。"),
                "not supported": Bilingual(
                    "After a long training the network gets as far without BN.",
                    "训练足够久，不用 BN 也能达到同样水平。",
                ),
                "depends": Bilingual(
                    "BN is indispensable in some networks only.", "BN 只在部分网络中必不可少。"
                ),
            },
            Bilingual(
                f"Accuracy with BN less the best without, both after {_TIMES} times the steps",
                f"都训练 {_TIMES} 倍步数时，用 BN 的准确率减去最好的无 BN 方案",
            ),
            cases,
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual("Keep BN in residual networks.", "残差网络请保留 BN。")
        if found == "not supported":
            return Bilingual(
                "Where BN does not fit (tiny batches, single images), leave it out: with He's initial weights or "
                "SkipInit and more steps the network gets as far.",
                "不适合用 BN 时（批量极小、逐张输入）可以去掉：用 He 初始化或 SkipInit 并多训练一些，同样可行。",
            )
        return Bilingual(
            "Before you leave BN out, try the network without it on your own data.",
            "去掉 BN 之前，先在自己的数据上试一试。",
        )


def _networks(preset: Preset) -> tuple[Network, ...]:
    steps = preset.pick(quick={8: 50}, full={8: 300, 20: 300})
    return tuple(
        Network(
            f"resnet_{depth}_narrow",
            Bilingual(f"residual net of {depth} layers", f"{depth} 层残差网"),
            "deep",
            "resnet",
            count,
            0.1,
            options={"depth": depth, "width": 8, "bias": True, "init": "he"},
            data="digits",
        )
        for depth, count in steps.items()
    )


def _forms(preset: Preset, network: Network) -> tuple[_Form, ...]:
    if network.options["depth"] == 8:
        return preset.pick(quick=(_BN, _PLAIN), full=(_BN, _PLAIN, _SKIP, _LAYER))
    return (_BN, _PLAIN_20, _SKIP)


def _lead(steps: int, times: int, bn: Run, *others: Run) -> float:
    """Return the lead of BN after so many steps over the best form without after that many times as many, in points."""
    return 100 * (accuracy_after(bn, steps) - max(accuracy_after(other, times * steps) for other in others))


def _search(preset: Preset, network: Network, form: _Form) -> Search:
    steps = network.steps * _TIMES // 3
    # Seldom, since evaluations cost as much as the steps; the digits are few, and all are used.
    config = arm(
        preset,
        network,
        form.norm,
        steps=steps,
        eval_every=steps // 6,
        train_samples=None,
        test_samples=None,
        options=dict(form.options),
    )
    return Search(config, form.rates)


def _arms(preset: Preset, network: Network, rate: Rate) -> tuple[RunConfig, ...]:
    """Return a run of each form, BN's first."""
    searches = (_search(preset, network, form) for form in _forms(preset, network))
    return tuple(
        replace(search.arm, lr=rate(search), steps=network.steps * _TIMES, eval_every=network.steps // 2)
        for search in searches
    )
