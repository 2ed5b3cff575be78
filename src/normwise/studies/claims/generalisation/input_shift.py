"""BN and inputs that differ from those that were trained on."""

from collections.abc import Sequence
from statistics import fmean

from normwise.records import Bilingual, Brief, Case, Figure, Run, Saying, Series, Verdict
from normwise.studies.arms import Runs, Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.claims.generalisation.other_light import (
    SCHNEIDER,
    accuracy,
    lost,
    networks,
    searches,
    trained,
)
from normwise.studies.judging.styles import LABEL, RECOMPUTED, STYLE
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Preset
from normwise.studies.wording import of_each

_SMALLEST = 2.0
#: Contrast of all test images, of 1 in training.
_CONTRAST = "0.25"
#: Contrasts that the figure shows, as the measure ``shifted_accuracy`` names them.
_CONTRASTS = ("1", "0.7", "0.5", "0.35", "0.25")


class InputShift(Claim):
    """Accuracy lost where all test images are darker, with BN and without."""

    number = 240
    name = "input_shift"
    group = "generalisation"
    statement = Bilingual(
        "BN makes a network sensitive to a change of its inputs: it loses more when all test images are darker.",
        "BN 使网络对输入分布更敏感：测试图像整体变暗时，准确率下降更多。",
    )
    says = (Saying("001", "5, challenges: sensitivity to data"),)
    falsifier = "Darker test images cost a network with BN no more accuracy than one without: every network."
    rule = (
        "The effect is the accuracy lost when the contrast of all test images falls to a quarter, with BN (running "
        "statistics, as in use) less without BN, in percentage points. The smallest that matters is "
        f"{_SMALLEST:g} points."
    )
    dated = "2026-11-27"
    brief = Brief(
        "cost",
        Bilingual("robustness to darker images", "对图像变暗的稳健性"),
        Bilingual(
            "Feed it inputs as bright as those of the training, or compute its statistics anew",
            "让输入的亮度与训练时一致，否则重新计算统计量",
        ),
    )
    sources = (SCHNEIDER,)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            "Networks are trained on images as they are. Then every pixel of every test image is multiplied by 0.25.",
            "The figure has other contrasts, and BN with the statistics of the test images themselves. That these mend "
            "a change that all images share is algebra, and no finding: BN takes a common factor and offset away.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return searches(preset)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                network.name,
                network.gloss,
                network.family,
                trained(preset, network, rate),
                value=lambda bn, plain: lost(bn, _CONTRAST) - lost(plain, _CONTRAST),
                effect="accuracy lost with BN less that lost without, at a quarter of the contrast",
                unit="percentage points",
                smallest=_SMALLEST,
                note=_lost_by_each,
            )
            for network in networks(preset)
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            _figure(plan.name, plan.gloss, *(runs.of(config) for config in plan.arms))
            for plan in self.cases(preset, runs.rate)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            "When all test images had a quarter of the contrast, the accuracy lost with BN exceeded that lost without "
            f"it by {each.en}.",
            f"测试图像对比度整体降到四分之一时，用 BN 比不用 BN 多损失的准确率为：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "not supported":
            return Bilingual(
                "BN is no reason to fear darker inputs; check new inputs all the same.",
                "输入变暗并不是不用 BN 的理由；但新数据仍应检查。",
            )
        return Bilingual(
            "Feed a network with BN the kind of input that it was trained on. If all inputs have changed alike, "
            "compute BN's statistics anew on them: `normwise calibrate` does it without training.",
            "使用 BN 时，推理输入应与训练数据一致；若输入整体改变，用 `normwise calibrate` 在新数据上重新统计。",
        )


def _lost_by_each(bn: Sequence[Run], plain: Sequence[Run]) -> str:
    with_bn, without = (fmean(lost(run, _CONTRAST) for run in group) for group in (bn, plain))
    return f"{with_bn:.1f} points lost with BN, {without:.1f} without"


def _figure(name: str, gloss: Bilingual, bn: Sequence[Run], plain: Sequence[Run]) -> Figure:
    return Figure(
        name=f"input-shift-{name}",
        title=f"{gloss.en}: accuracy on darker test images",
        caption="Trained at contrast 1. Mean over seeds; the band spans the lowest and the highest seed.",
        x_label="contrast of all test images",
        y_label="test accuracy",
        x_log=True,
        y_percent=True,
        series=(
            _series(LABEL["batch"], bn, "running", STYLE["batch"]),
            _series("with BN, statistics of the test images", bn, "batch", RECOMPUTED),
            _series(LABEL["none"], plain, "running", STYLE["none"]),
        ),
    )


def _series(label: str, runs: Sequence[Run], statistics: str, style: int) -> Series:
    by_light = [[accuracy(run, statistics, light) / 100 for run in runs] for light in _CONTRASTS]
    return Series(
        label,
        tuple(map(float, _CONTRASTS)),
        tuple(map(fmean, by_light)),
        tuple(map(min, by_light)),
        tuple(map(max, by_light)),
        style,
    )
