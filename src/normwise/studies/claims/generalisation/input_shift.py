"""BN and inputs that differ from those that were trained on."""

from collections.abc import Sequence
from functools import partial
from statistics import fmean

from normwise.records import Bilingual, Brief, Case, Figure, Run, Saying, Series, Verdict
from normwise.studies.arms import Runs, Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.claims.generalisation.other_light import (
    CLEAN,
    SCHNEIDER,
    accuracy,
    lost,
    networks,
    searches,
    trained,
    training_sentence,
)
from normwise.studies.judging.styles import LABEL, RECOMPUTED, STYLE
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import verdict_first

_SMALLEST = 2.0
#: Lights of the test images, as the measure ``shifted_accuracy`` names them, and what a reader calls them.
_LIGHTS = {
    "0.25": Bilingual("a quarter of the contrast", "对比度降到四分之一"),
    "mixed": Bilingual("mixed light", "光线各不相同"),
}
#: The same in the name of the effect.
_OF = {"0.25": "at a quarter of the contrast", "mixed": "in mixed light"}
#: Accuracy in percent, without BN and in good light, below which a network has nothing to lose.
_LEARNT = 80.0
#: Contrasts that the figure shows, as the measure ``shifted_accuracy`` names them.
_CONTRASTS = ("1", "0.7", "0.5", "0.35", "0.25")


_OPENINGS: dict[Verdict, Bilingual] = {
    "supported": Bilingual(
        "With BN a network lost more when the light of the test images changed.",
        "测试图像的光线改变时，用 BN 的网络准确率下降更多。",
    ),
    "not supported": Bilingual(
        "With BN a network did not lose more when the light of the test images changed.",
        "测试图像的光线改变时，用 BN 的网络准确率并没有下降更多。",
    ),
    "depends": Bilingual(
        "With BN some networks, or in some light, lost more when the light of the test images changed.",
        "测试图像的光线改变时，只有部分网络或部分光线下用 BN 损失更多。",
    ),
    "undecided": Bilingual(
        "Whether a network with BN loses more when the light of the test images changes stayed open.",
        "测试图像的光线改变时，用 BN 是否损失更多，尚无定论。",
    ),
}


class InputShift(Claim):
    """Accuracy lost where test images are in another light, with BN and without."""

    number = 240
    name = "input_shift"
    group = "generalisation"
    statement = Bilingual(
        "BN makes a network sensitive to a change of its inputs: it loses more when test images are in another light.",
        "BN 使网络对输入分布更敏感：测试图像的光线改变时，准确率下降更多。",
    )
    says = (Saying("001", "5.未来发展趋势与挑战: 3 数据敏感性"),)
    falsifier = (
        "Test images in another light cost a network with BN no more accuracy than one without: every network, darker "
        "images and images each in a light of its own."
    )
    rule = (
        "The effect is the accuracy lost when the contrast of all test images falls to a quarter, and when each has a "
        "light of its own, with BN (running statistics, as in use) less without BN, in percentage points. The smallest "
        f"that matters is {_SMALLEST:g} points. Control: without BN a network tells more than {_LEARNT:g} percent of "
        "the images right in the light of the training."
    )
    dated = "2026-11-27"
    revised = (
        "The first rule had a quarter of the contrast alone, which hardly hurts a network of ReLUs without BN, and no "
        "control."
    )
    brief = Brief(
        "cost",
        Bilingual("robustness to another light", "对光线变化的稳健性"),
        Bilingual(
            "Feed it inputs as bright as those of the training, or compute its statistics anew",
            "让输入的亮度与训练时一致，否则重新计算统计量",
        ),
    )
    sources = (SCHNEIDER,)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            "Networks are trained on images as they are. Then every pixel of every test image is multiplied by 0.25; "
            "or, in mixed light, a pixel x becomes a·x + b, with a contrast a from 0.25 to 1 and a brightness b from 0 "
            "to 1 − a that are drawn for each image.",
            "Less contrast alone can hardly hurt a network of ReLUs without BN: but for its biases it only scales the "
            "outputs, and the largest stays the largest.",
            training_sentence(preset),
            "The figure has other contrasts, and BN with the statistics of the test images themselves. That these mend "
            "a change that all images share is algebra, and no finding: BN takes a common factor and offset away.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return searches(preset)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"{network.name}, {gloss.en}",
                Bilingual(f"{network.gloss.en} ({gloss.en})", f"{network.gloss.zh}（{gloss.zh}）"),
                network.family,
                trained(preset, network, rate),
                value=partial(_lost_more, light=light),
                effect=f"accuracy lost with BN less that lost without, {_OF[light]}",
                unit="percentage points",
                smallest=_SMALLEST,
                note=partial(_lost_by_each, light=light),
            )
            for network in networks(preset)
            for light, gloss in _LIGHTS.items()
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"{network.name}, learnt",
                Bilingual(f"{network.gloss.en} without BN has learnt", f"不用 BN 的{network.gloss.zh}已学会"),
                network.family,
                (plain,),
                value=lambda run: accuracy(run, "running", CLEAN),
                effect="test accuracy without BN in good light",
                unit="%",
                smallest=_LEARNT,
            )
            for network in networks(preset)
            for _, plain in (trained(preset, network, rate),)
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            _figure(network, *(runs.of(config) for config in trained(preset, network, runs.rate)))
            for network in networks(preset)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        measured = Bilingual(
            "Accuracy lost with BN less that lost without",
            "用 BN 比不用 BN 多损失的准确率（负值表示损失更少）",
        )
        return verdict_first(found, _OPENINGS, measured, cases)

    def advice(self, found: Verdict) -> Bilingual:
        if found == "not supported":
            return Bilingual(
                "BN is no reason to fear inputs in another light; check new inputs all the same.",
                "输入光线会变并不是不用 BN 的理由；但新数据仍应检查。",
            )
        return Bilingual(
            "Feed a network with BN the kind of input that it was trained on. If all inputs have changed alike, "
            "compute BN's statistics anew on them: `normwise calibrate` does it without training.",
            "使用 BN 时，推理输入应与训练数据一致；若输入整体改变，用 `normwise calibrate` 在新数据上重新统计。",
        )


def _lost_more(bn: Run, plain: Run, *, light: str) -> float:
    return lost(bn, light) - lost(plain, light)


def _lost_by_each(bn: Sequence[Run], plain: Sequence[Run], *, light: str) -> str:
    with_bn, without = (fmean(lost(run, light) for run in group) for group in (bn, plain))
    return f"{with_bn:.1f} points lost with BN, {without:.1f} without"


def _figure(network: Network, bn: Sequence[Run], plain: Sequence[Run]) -> Figure:
    return Figure(
        name=f"input-shift-{network.name}",
        title=f"{network.gloss.en}: accuracy on darker test images",
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
