"""BN on small data sets: does it help more there?"""

from collections.abc import Sequence

from normwise.records import Bilingual, Case, Figure, RunConfig, Saying, Source, Verdict
from normwise.studies.arms import Runs, Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.claims.generalisation.few_samples import (
    DENSE,
    FITTED,
    MEDICAL,
    exact_accuracy,
    fitted,
    images,
    most,
    search,
)
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import LABEL, STYLE
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import of_each

_SMALLEST = 1.0
#: Numbers of samples to train on, beside the most.
_IMAGES, _PATIENTS = (50, 200), (20, 100)
_NORMS = ("batch", "none")


class SmallData(Claim):
    """Gain by BN on few samples, over the gain on many."""

    number = 243
    name = "small_data"
    group = "generalisation"
    statement = Bilingual(
        "BN regularises more on small data sets, so that it helps with few labelled medical samples.",
        "数据集越小，BN 的正则化效果越明显，例如只有少量医学样本时。",
    )
    says = (Saying("004", "6, effects: generalisation"),)
    falsifier = "At one training loss BN gains no more with 50 images than with the most, nor with 20 or 100 patients."
    rule = (
        f"Training ends at a mean training loss of {FITTED:g}. On images the effect is what BN gains in test accuracy "
        "with 50 images, less what it gains with the most; on medical data, what it gains with 20 and with 100 "
        "patients; in percentage points, BN with exact statistics of the training samples. The smallest that matters "
        f"is {_SMALLEST:g} point. Control: without BN, more samples raise the accuracy by more than that."
    )
    dated = "2026-11-27"
    sources = (
        Source(
            "Street, Wolberg & Mangasarian 1993, Nuclear feature extraction for breast tumor diagnosis",
            "the medical data",
            "https://doi.org/10.1117/12.148698",
        ),
    )

    def seeds(self, preset: Preset) -> tuple[int, ...]:
        # Which few samples are drawn makes more of a difference than anything else, and the runs are short.
        return (*preset.seeds, *range(preset.seeds[-1] + 1, preset.seeds[-1] + 4))

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            f"Images: {_counts((*_IMAGES, most(DENSE)))} of {images(preset)}, in batches of 32. Medical: "
            f"{_counts((*_PATIENTS, most(MEDICAL)))} patients of the Wisconsin breast cancer data, 30 "
            "measurements each, standardised, in batches of 20. Samples are drawn anew for each seed.",
            "The learning rate is chosen on the largest number of samples and kept.",
            seeds_sentence(preset, self.seeds(preset)),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(search(preset, network, norm) for network in (DENSE, MEDICAL) for norm in _NORMS)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return (
            CasePlan(
                f"images, {_IMAGES[0]}",
                Bilingual("50 images instead of many", "50 张图像（相对于大量图像）"),
                "dense",
                (
                    *_pair(preset, DENSE, _IMAGES[0], rate),
                    *_pair(preset, DENSE, most(DENSE), rate),
                ),
                value=lambda few_bn, few, many_bn, many: (
                    (exact_accuracy(few_bn) - exact_accuracy(few))
                    - (exact_accuracy(many_bn) - exact_accuracy(many))
                ),
                effect="gain by BN with 50 images less that with the most",
                unit="percentage points",
                smallest=_SMALLEST,
            ),
            *(
                CasePlan(
                    f"patients, {count}",
                    Bilingual(f"{count} patients", f"{count} 名患者"),
                    "dense",
                    _pair(preset, MEDICAL, count, rate),
                    value=lambda bn, plain: exact_accuracy(bn) - exact_accuracy(plain),
                    effect="test accuracy with BN less without",
                    unit="percentage points",
                    smallest=_SMALLEST,
                )
                for count in _PATIENTS
            ),
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"{network.name}, more samples",
                Bilingual(f"more samples help {network.gloss.en}", f"更多样本使{network.gloss.zh}更准"),
                "dense",
                (
                    fitted(preset, network, "none", most(network), rate),
                    fitted(preset, network, "none", few, rate),
                ),
                value=lambda many, few: exact_accuracy(many) - exact_accuracy(few),
                effect="test accuracy without BN, with all samples less with few",
                unit="percentage points",
                smallest=_SMALLEST,
            )
            for network, few in ((DENSE, _IMAGES[0]), (MEDICAL, _PATIENTS[0]))
        )

    def beside(self, preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
        return (
            *_pair(preset, DENSE, _IMAGES[1], rate),
            *_pair(preset, MEDICAL, most(MEDICAL), rate),
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            Figure(
                name=f"small-data-{network.name}",
                title=f"{network.gloss.en}: test accuracy at one training loss",
                caption="Mean over seeds; the band spans the lowest and the highest seed.",
                x_label="training samples",
                y_label="test accuracy",
                x_log=True,
                y_percent=True,
                series=tuple(
                    spread_series(
                        LABEL[norm],
                        tuple(map(float, counts)),
                        [runs.of(fitted(preset, network, norm, count, runs.rate)) for count in counts],
                        lambda run: exact_accuracy(run) / 100,
                        STYLE[norm],
                    )
                    for norm in _NORMS
                ),
            )
            for network, counts in (
                (DENSE, (*_IMAGES, most(DENSE))),
                (MEDICAL, (*_PATIENTS, most(MEDICAL))),
            )
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            f"Fitted equally well, BN gained this much on small data: {each.en}.",
            f"拟合程度相同时，BN 在小数据上的收益：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual("Try BN where labelled data are few.", "标注数据很少时可以尝试 BN。")
        return Bilingual(
            "A small data set is no reason for BN: compare with and without it on held-out samples, several times.",
            "数据少不是使用 BN 的理由：请在留出样本上多次比较用与不用 BN 的结果。",
        )


def _pair(preset: Preset, network: Network, samples: int, rate: Rate) -> tuple[RunConfig, RunConfig]:
    bn, plain = (fitted(preset, network, norm, samples, rate) for norm in _NORMS)
    return bn, plain


def _counts(samples: Sequence[int]) -> str:
    return f"{', '.join(f'{count:,}' for count in samples[:-1])} and {samples[-1]:,}"
