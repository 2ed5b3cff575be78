"""BN and differences in brightness between images, where these are what is asked for."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from normwise.records import Bilingual, Case, Figure, Run, RunConfig, Saying, Source, Verdict
from normwise.studies.arms import Runs, Search, accuracy_at_end
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.claims.generalisation.few_samples import DENSE
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import LABEL, LAYER, STYLE
from normwise.studies.networks import arm, seeds_sentence, tuned
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import verdict_first

_SMALLEST = 2.0
#: Learning rates to try.
_QUICK_RATES = (0.1, 0.3)
_RATES = {"dense_bn": (0.03, 0.1, 0.3, 1.0), DENSE.name: (0.03, 0.1, 0.3), "mnist_cnn": (0.1, 0.3)}
#: Steps with a norm and without: accuracies change for long, and sooner with BN, so that more for one would decide.
_QUICK_STEPS, _STEPS = 1200, {"dense": 9000, "convolution": 800}
_EARLY = "That is early in training: accuracies still rise then, and a verdict holds for these steps alone."
#: Networks, and the norm of each that takes away the brightness of a single image.
_PER_IMAGE = {"dense_bn": "layer", "plain_mlp": "layer", "mnist_cnn": "instance"}

_OPENINGS: dict[Verdict, Bilingual] = {
    "supported": Bilingual(
        "Where brightness was asked for, BN cost accuracy.", "在判断图像亮度的任务中，BN 降低了准确率。"
    ),
    "not supported": Bilingual(
        "Where brightness was asked for, BN cost no accuracy.",
        "在判断图像亮度的任务中，BN 并没有降低准确率。",
    ),
    "depends": Bilingual(
        "Where brightness was asked for, BN cost some networks accuracy.",
        "在判断图像亮度的任务中，BN 只降低了部分网络的准确率。",
    ),
    "undecided": Bilingual(
        "Whether BN costs accuracy where brightness is asked for stayed open.",
        "在判断图像亮度的任务中，BN 是否降低准确率，尚无定论。",
    ),
}


class AbsoluteDifferences(Claim):
    """Accuracy in telling how bright an image is, without BN less with."""

    number = 244
    name = "absolute_differences"
    group = "generalisation"
    statement = Bilingual(
        "BN takes away absolute differences between images, such as their brightness, so it does not suit every task.",
        "BN 会减小图像之间的绝对差异（如亮度），因此并非所有任务都适用。",
    )
    says = (Saying("002", "1.2 covariate shift"),)
    falsifier = (
        "In telling how bright an image is, a network with BN is less than "
        f"{_SMALLEST:g} points worse than one without, or better: every network."
    )
    rule = (
        "The effect is the test accuracy in telling five levels of brightness apart after equal steps, without BN less "
        f"with, in percentage points. The smallest that matters is {_SMALLEST:g} points. Control: a norm over each "
        "image by itself, which does take its brightness away, does worse than no norm by more than that."
    )
    dated = "2026-11-27"
    revised = (
        "By the first rule networks without a norm had three times the steps, and few: a trial showed that the steps "
        "decided the verdict, and not BN."
    )
    sources = (
        ioffe_szegedy("§3: one mean and one variance for all images of a batch"),
        Source(
            "Ulyanov, Vedaldi & Lempitsky 2016, Instance Normalization",
            "§2: takes the contrast of each image away",
            "https://arxiv.org/abs/1607.08022",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            f"Each image of {preset.data} is multiplied by 1, 0.8, 0.64, 0.51 or 0.41, drawn at random; which of these "
            "it was is the class, and what the image shows is not asked for.",
            f"Equal steps without a norm and with one: {_steps_in_words(preset)}.",
            *preset.pick(quick=(_EARLY,), full=()),
            f"Learning rates that are tried, with each norm and without: {_rates_in_words(preset)}.",
            "Control: LayerNorm behind dense layers without a bias, instance norm behind convolutions.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(
            _search(preset, network, config)
            for network in _networks(preset)
            for config in _arms(preset, network)
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            _plan(preset, network, (plain, bn), rate, "accuracy without BN less with")
            for network in _networks(preset)
            for plain, bn, _ in (_arms(preset, network),)
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            replace(
                _plan(
                    preset,
                    network,
                    (plain, alone),
                    rate,
                    "accuracy without a norm less with one over each image",
                ),
                name=f"{network.name}, each image by itself",
                gloss=Bilingual(
                    f"a norm over each image costs {network.gloss.en} accuracy",
                    f"逐图归一化使{network.gloss.zh}变差",
                ),
            )
            for network in _networks(preset)
            for plain, _, alone in (_arms(preset, network),)
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            Figure(
                name=f"absolute-differences-{network.name}",
                title=f"{network.gloss.en}: telling five levels of brightness apart",
                caption="Chance is 20%. Mean over seeds; the band spans the lowest and the highest seed.",
                x_label="steps",
                y_label="test accuracy",
                y_percent=True,
                series=tuple(
                    curve_series(label, runs.of(_at_its_rate(preset, network, config, runs.rate)), style)
                    for (label, style), config in zip(_LOOKS, _arms(preset, network), strict=True)
                ),
            )
            for network in _networks(preset)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        return verdict_first(
            found,
            _OPENINGS,
            Bilingual("Accuracy without BN less with", "不用 BN 与用 BN 的准确率之差"),
            cases,
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "not supported":
            return Bilingual(
                "BN keeps differences between the images of a batch, since all have the same factor: use it also where "
                "brightness counts. Norms over each image by itself are those to avoid then.",
                "同一批图像共用同一个缩放，BN 会保留图像之间的差异：亮度重要的任务也可以用；此时应避免的是逐图归一化。",
            )
        return Bilingual(
            "Where brightness itself counts, compare with and without BN on data of your own.",
            "如果亮度本身就是要识别的信息，请在自己的数据上比较用与不用 BN 的结果。",
        )


_LOOKS = (
    (LABEL["none"], STYLE["none"]),
    (LABEL["batch"], STYLE["batch"]),
    ("a norm over each image", LAYER),
)


def _networks(preset: Preset) -> tuple[Network, ...]:
    return preset.pick(
        quick=(DENSE,), full=tuple(DENSE if name == DENSE.name else preset.networks[name] for name in _RATES)
    )


def _steps(preset: Preset, network: Network) -> int:
    return preset.pick(quick=_QUICK_STEPS, full=_STEPS[network.family])


def _arms(preset: Preset, network: Network) -> tuple[RunConfig, RunConfig, RunConfig]:
    """Return the network without a norm, with BN, and with a norm over each image."""
    plain, bn, alone = (
        arm(
            preset,
            network,
            norm,
            data=f"lights-of-{preset.data}",
            steps=_steps(preset, network),
            options={"placement": "before"},
        )
        for norm in ("none", "batch", _PER_IMAGE[network.model])
    )
    if network.family == "dense":
        # With a bias the normalised output of a dense layer would still tell how bright its input is.
        alone = replace(alone, options={**alone.options, "bias": False})
    return plain, bn, alone


def _rates(preset: Preset, network: Network) -> tuple[float, ...]:
    return preset.pick(quick=_QUICK_RATES, full=_RATES[network.name])


def _search(preset: Preset, network: Network, config: RunConfig) -> Search:
    return tuned(preset, config, _rates(preset, network))


def _at_its_rate(preset: Preset, network: Network, config: RunConfig, rate: Rate) -> RunConfig:
    return replace(config, lr=rate(_search(preset, network, config)))


def _steps_in_words(preset: Preset) -> str:
    return ", ".join(f"{_steps(preset, network):,} for {network.gloss.en}" for network in _networks(preset))


def _rates_in_words(preset: Preset) -> str:
    return "; ".join(
        f"{', '.join(f'{rate:g}' for rate in _rates(preset, network))} for {network.gloss.en}"
        for network in _networks(preset)
    )


def _after(preset: Preset, network: Network) -> Bilingual:
    """Return the network and its steps, and that these are few where they are."""
    steps = _steps(preset, network)
    en, zh = preset.pick(quick=("early in training, ", "训练初期，"), full=("", ""))
    return Bilingual(
        f"{network.gloss.en} ({en}after {steps:,} steps)", f"{network.gloss.zh}（{zh}{steps} 步后）"
    )


def _plan(
    preset: Preset,
    network: Network,
    arms: tuple[RunConfig, RunConfig],
    rate: Rate,
    effect: str,
) -> CasePlan:
    return CasePlan(
        network.name,
        _after(preset, network),
        network.family,
        tuple(_at_its_rate(preset, network, config, rate) for config in arms),
        value=lambda plain, other: 100 * (accuracy_at_end(plain) - accuracy_at_end(other)),
        effect=effect,
        unit="percentage points",
        smallest=_SMALLEST,
        note=_accuracies,
    )


def _accuracies(plain: Sequence[Run], other: Sequence[Run]) -> str:
    without, with_norm = (100 * fmean(map(accuracy_at_end, group)) for group in (plain, other))
    return f"{without:.1f}% without, {with_norm:.1f}% with; chance is 20%"
