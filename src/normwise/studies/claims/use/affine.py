"""BN's scale γ and shift β."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from normwise.records import Bilingual, Case, Figure, Run, RunConfig, Saying, Source, Verdict
from normwise.studies.arms import Runs, Search, accuracy_at_end
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import BATCH, NONE, RECOMPUTED
from normwise.studies.networks import CLOSELY, arm, seeds_sentence, tuned
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import of_each

_SMALLEST = 1.0
_WITHOUT = "batch:affine=0"
#: Learning rates to choose from, by network, in quick and in full.
_QUICK_RATES = {"plain_mlp_3": (0.1, 0.3), "ioffe_mlp": (0.3, 1.0)}
_FULL_RATES = {"plain_mlp_3": (0.1, 0.3, 1.0), "ioffe_mlp": (0.3, 1.0, 3.0)}
_LABELS = {"batch": "BN with γ and β", _WITHOUT: "BN without γ and β", "none": "without BN"}
_STYLES = {"batch": BATCH, _WITHOUT: RECOMPUTED, "none": NONE}
_SAYS = (Saying("002", "第二节：Batchnorm 原理解读"),)
_SOURCES = (
    ioffe_szegedy("§3: γ and β are there so that BN can represent the identity"),
    Source(
        "Frankle, Schwab & Morcos 2021, Training BatchNorm and Only BatchNorm",
        "§4 and appendix: γ and β are worth 0.5 to 2 points",
        "https://arxiv.org/abs/2003.00152",
    ),
)


class _AboutAffine(Claim):
    """The runs that claims about γ and β share, and how they are tuned and drawn."""

    #: Norms of the arms that are compared.
    norms: ClassVar[tuple[str, str]]
    effect: ClassVar[str]
    group = "use"
    says = _SAYS
    dated = "2026-11-27"
    sources = _SOURCES

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        budgets = "; ".join(
            f"{network.gloss.en}: {', '.join(_budget(preset, network, norm) for norm in self.norms)}, rates "
            f"{', '.join(f'{rate:g}' for rate in _rates(preset, network))}"
            for network in self.networks(preset)
        )
        return (
            f"Plain SGD, for each arm at its best learning rate. {budgets}. Without BN the layers have biases, and the "
            "ReLU layers He's initial weights.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(
            _search(preset, network, norm) for network in self.networks(preset) for norm in self.norms
        )

    def networks(self, preset: Preset) -> tuple[Network, ...]:
        """Return the networks that it is tested on."""
        return _networks(preset)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                network.name,
                network.gloss,
                network.family,
                tuple(
                    replace(_config(preset, network, norm), lr=rate(_search(preset, network, norm)))
                    for norm in self.norms
                ),
                value=lambda better, worse: 100 * (accuracy_at_end(better) - accuracy_at_end(worse)),
                effect=self.effect,
                unit="percentage points",
                smallest=_SMALLEST,
                note=_note,
            )
            for network in self.networks(preset)
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            Figure(
                name=f"{self.name}-{plan.name}",
                title=f"{plan.gloss.en}: test accuracy while training",
                caption="Mean over seeds; the band spans the lowest and the highest seed.",
                x_label="steps",
                y_label="test accuracy",
                y_percent=True,
                series=tuple(
                    curve_series(
                        f"{_LABELS[config.norm]}, rate {config.lr:g}", runs.of(config), _STYLES[config.norm]
                    )
                    for config in plan.arms
                ),
            )
            for plan in self.cases(preset, runs.rate)
        )


class Affine(_AboutAffine):
    """Accuracy with γ and β less that without them."""

    number = 354
    name = "affine"
    statement = Bilingual("BN needs its scale γ and shift β to learn well.", "BN 需要 γ 和 β 才能学得好。")
    falsifier = f"γ and β win less than {_SMALLEST:g} point of accuracy: on every network."
    rule = (
        "The effect is the mean test accuracy of the last three evaluations with γ and β less that without them, each "
        f"at its best learning rate, in percentage points. The smallest that matters is {_SMALLEST:g} point."
    )

    norms = ("batch", _WITHOUT)
    effect = "accuracy with γ and β, less that of BN without them"

    def depends_on(self, cases: Sequence[Case]) -> Bilingual:
        if [case.name for case in cases if case.outcome == "shown"] == ["ioffe_mlp"]:
            return Bilingual(
                "the activation: sigmoid units without γ stay in their nearly linear part",
                "取决于激活函数：没有 γ 时，sigmoid 单元停留在接近线性的区间",
            )
        return super().depends_on(cases)

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            f"γ and β changed the accuracy by {each.en}.", f"加上 γ 和 β，准确率变化：{each.zh}。"
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "not supported":
            return Bilingual(
                "Keep γ and β, they cost little; don't expect them to be what makes BN work.",
                "保留 γ 和 β，成本很低；但不要以为 BN 是靠它们起作用的。",
            )
        return Bilingual("Keep γ and β, as every framework does by default.", "保留 γ 和 β，各框架默认如此。")


class AffineIndispensable(_AboutAffine):
    """Accuracy without BN less that of BN without γ and β."""

    number = 355
    name = "affine_indispensable"
    statement = Bilingual(
        "Normalised without γ and β, a network loses what it has learnt.",
        "只做归一化而没有 γ 和 β，网络学到的特征就被归一化掉了。",
    )
    falsifier = (
        f"BN without γ and β is less than {_SMALLEST:g} point worse than the same network without BN: on every "
        "network."
    )
    rule = (
        "The effect is the mean test accuracy of the last three evaluations without BN less that of BN without γ and "
        f"β, each at its best learning rate, in percentage points. The smallest that matters is {_SMALLEST:g} point."
    )

    norms = ("none", _WITHOUT)
    effect = "accuracy without BN, less that of BN without γ and β"

    def networks(self, preset: Preset) -> tuple[Network, ...]:
        # Without BN the sigmoid net still learns when quick's budget ends.
        return _networks(preset)[: preset.pick(quick=1, full=2)]

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            f"Beside BN without γ and β, the network without BN had an accuracy that differed by {each.en}.",
            f"不用 BN 的网络与去掉 γ、β 的 BN 相比，准确率相差：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "not supported":
            return Bilingual(
                "Normalising erases nothing that the next layer can't undo: it has weights of its own.",
                "归一化不会抹掉学到的特征：下一层自己的权重可以补偿。",
            )
        return Bilingual("Keep γ and β where you use BN.", "使用 BN 时保留 γ 和 β。")


def _networks(preset: Preset) -> tuple[Network, ...]:
    deep = preset.networks["deep_mlp"]
    three = replace(
        deep,
        name="plain_mlp_3",
        gloss=Bilingual("3 ReLU layers", "3 层 ReLU"),
        family="dense",
        options={"depth": 3, "init": "he"},
    )
    return three, preset.networks["ioffe_mlp"]


def _config(preset: Preset, network: Network, norm: str) -> RunConfig:
    steps = {
        # Without BN many times the steps, lest it be merely slow.
        "plain_mlp_3": (
            preset.pick(quick=900, full=6 * network.steps)
            if norm == "none"
            else preset.pick(quick=300, full=network.steps)
        ),
        # The sigmoid net is slow to begin without BN, and to end without γ and β.
        "ioffe_mlp": preset.pick(quick=200, full=2 * network.steps),
    }[network.name]
    return arm(preset, network, norm, steps=steps, **CLOSELY)


def _budget(preset: Preset, network: Network, norm: str) -> str:
    return f"{_config(preset, network, norm).steps:,} steps ({_LABELS[norm]})"


def _search(preset: Preset, network: Network, norm: str) -> Search:
    return tuned(preset, _config(preset, network, norm), _rates(preset, network))


def _rates(preset: Preset, network: Network) -> tuple[float, ...]:
    return preset.pick(quick=_QUICK_RATES, full=_FULL_RATES)[network.name]


def _note(better: Sequence[Run], worse: Sequence[Run]) -> str:
    return ", ".join(
        f"{_LABELS[group[0].config.norm]}: rate {group[0].config.lr:g}" for group in (better, worse)
    )
