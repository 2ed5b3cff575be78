"""BN and inputs that differ from one another."""

from collections.abc import Callable, Sequence

from normwise.records import Bilingual, Case, Run, RunConfig, Saying, Verdict
from normwise.studies.arms import Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.claims.generalisation.other_light import (
    CLEAN,
    SCHNEIDER,
    accuracy,
    longer,
    lost,
    networks,
    searches,
    trained,
    trained_in_mixed_light,
    training_sentence,
)
from normwise.studies.judging.run_queries import result
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import of_each, verdict_first

_SMALLEST = 2.0
#: Light of the test images, as the measure ``shifted_accuracy`` names it.
_MIXED = "mixed"
_LOST_LESS = "accuracy lost in mixed light without BN less that lost with"
_GAINED = "accuracy in mixed light with BN less that without"
_OPENINGS: dict[Verdict, Bilingual] = {
    "supported": Bilingual(
        "BN evened out differences in light between images.", "BN 确实减小了图像之间光线差异的影响。"
    ),
    "not supported": Bilingual(
        "BN did not even out differences in light between images.", "BN 并没有减小图像之间光线差异的影响。"
    ),
    "depends": Bilingual(
        "BN evened out differences in light between images in some networks or trainings only.",
        "BN 只在部分网络或训练方式下减小了图像之间光线差异的影响。",
    ),
    "undecided": Bilingual(
        "Whether BN evens out differences in light between images stayed open.",
        "BN 能否减小图像之间光线差异的影响，尚无定论。",
    ),
}


class InputDifferences(Claim):
    """Accuracy on images each in a light of its own, with BN and without."""

    number = 241
    name = "input_differences"
    group = "generalisation"
    statement = Bilingual(
        "BN evens out differences between inputs, such as the light that an image was taken in.",
        "BN 能减少样本之间的差异（例如拍摄光线不同），从而提高准确率。",
    )
    says = (Saying("003", "图像分类中的批标准化: 3. 应用场景"),)
    falsifier = (
        "On images each in a light of its own BN, with whichever statistics suit it better, helps no network by more "
        "than matters, whether it was trained on such images or not."
    )
    rule = (
        "Two effects a network, in percentage points: the accuracy lost on images in mixed light by a network trained "
        "in good light, without BN less with BN; and the accuracy of a network trained in mixed light, with BN less "
        "without. BN counts with running statistics or with those of the test images, whichever does better in a run. "
        f"The smallest that matters is {_SMALLEST:g} points."
    )
    dated = "2026-11-27"
    revised = "By the first rule networks without BN alone had six times the steps in mixed light."
    sources = (SCHNEIDER,)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            "Mixed light: a pixel x becomes a·x + b, with a contrast a from 0.25 to 1 and a brightness b from 0 to "
            "1 − a that are drawn for each image.",
            training_sentence(preset),
            "Networks trained in mixed light have the learning rate that was chosen in good light; both, with BN and "
            f"without, have {longer(preset)} times as many steps as in good light.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return searches(preset)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        found: list[CasePlan] = []
        for network in networks(preset):
            good = trained(preset, network, rate)
            mixed = trained_in_mixed_light(preset, network, rate)
            found += [
                _evened(network, "trained in good light", "在正常光线下训练", good, _lost_less, _LOST_LESS),
                _evened(network, "trained in mixed light", "在各种光线下训练", mixed, _gained, _GAINED),
            ]
        return tuple(found)

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        lost_less, gained = (
            [case for case in cases if case.effect.name == one] for one in (_LOST_LESS, _GAINED)
        )
        measured = Bilingual(
            "Accuracy lost in mixed light without BN less that lost with it",
            "换到各种光线时，不用 BN 比用 BN 多损失的准确率（负值表示用 BN 损失更多）",
        )
        first, each = verdict_first(found, _OPENINGS, measured, lost_less), of_each(gained)
        return Bilingual(
            f"{first.en} Accuracy after training in mixed light, with BN less without: {each.en}.",
            f"{first.zh}在各种光线下训练后，用 BN 与不用 BN 的准确率之差：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "BN helps where inputs differ in light; train on inputs that differ as those in use will.",
                "输入光线不一时 BN 有帮助；训练数据也应包含同样的差异。",
            )
        return Bilingual(
            "Don't rely on BN to even out differences between inputs: it has one mean and variance for all of them. "
            "Normalise each input by itself, or train on inputs that differ as those in use will.",
            "不要指望 BN 消除样本之间的差异：所有样本共用同一均值和方差。应逐样本归一化，或让训练数据包含同样的差异。",
        )


def _evened(
    network: Network,
    en: str,
    zh: str,
    arms: tuple[RunConfig, ...],
    value: Callable[[Run, Run], float],
    effect: str,
) -> CasePlan:
    return CasePlan(
        f"{network.name}, {en}",
        Bilingual(f"{network.gloss.en} ({en})", f"{network.gloss.zh}（{zh}）"),
        network.family,
        arms,
        value=value,
        effect=effect,
        unit="percentage points",
        smallest=_SMALLEST,
    )


def _lost_less(bn: Run, plain: Run) -> float:
    """Return the points that BN, with its better statistics, loses less in mixed light."""
    better = max(accuracy(bn, statistics, _MIXED) for statistics in ("running", "batch"))
    return lost(plain, _MIXED) - (accuracy(bn, "running", CLEAN) - better)


def _gained(bn: Run, plain: Run) -> float:
    """Return the points that BN, with its better statistics, is above."""
    of_batch = result(bn).batch_statistics_accuracy
    better = max(result(bn).test_accuracy, 0.0 if of_batch is None else of_batch)
    return 100 * (better - result(plain).test_accuracy)
