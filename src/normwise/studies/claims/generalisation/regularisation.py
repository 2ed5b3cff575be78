"""BN against overfitting, of networks that fit their training data equally well."""

from collections.abc import Sequence

from normwise.records import Bilingual, Brief, Case, Effect, Figure, Run, RunConfig, Saying, Source, Verdict
from normwise.studies.arms import Runs
from normwise.studies.case_plan import CasePlan, IdentityPlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.claims.generalisation.few_samples import (
    CONVOLUTION,
    DENSE,
    FITTED,
    LOOKED_AT,
    STOPPED,
    all_fit,
    exact_accuracy,
    fitted,
    images,
    most,
    pair,
    seeds_sentence,
)
from normwise.studies.judging.intervals import geometric_effect
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import STYLE
from normwise.studies.preset import Preset
from normwise.studies.wording import verdict_first

_SMALLEST = 1.0
_FEW = 200
_NETWORKS = (DENSE, CONVOLUTION)
#: Norms of the figure; the noise grows from left to right.
_BY_NOISE = {
    "none": "without BN",
    "batch": "BN over 32",
    "ghost:16": "BN over 16",
    "ghost:8": "BN over 8",
}

_OPENINGS: dict[Verdict, Bilingual] = {
    "supported": Bilingual(
        "Stopped at the same training loss, networks with BN did better on new data.",
        "训练到相同的训练损失时，用 BN 的网络在新数据上更准。",
    ),
    "not supported": Bilingual(
        "Stopped at the same training loss, networks with BN did not do better on new data.",
        "训练到相同的训练损失时，用 BN 的网络在新数据上并不更准。",
    ),
    "depends": Bilingual(
        "Stopped at the same training loss, only some networks did better on new data with BN.",
        "训练到相同的训练损失时，只有部分网络用 BN 后在新数据上更准。",
    ),
    "undecided": Bilingual(
        "Whether networks with BN do better on new data at the same training loss stayed open.",
        "训练损失相同时，用 BN 的网络在新数据上是否更准，尚无定论。",
    ),
}


class Regularisation(Claim):
    """Test accuracy at one training loss, with BN less without."""

    number = 242
    name = "regularisation"
    group = "generalisation"
    statement = Bilingual(
        "BN regularises: of two networks that fit their training data equally well, the one with BN does better on new "
        "data.",
        "BN 有正则化效果：训练数据拟合程度相同时，用 BN 的网络在新数据上更准。",
    )
    says = (
        Saying("000", "二、BN的优点: 3、正则化效果"),
        Saying("001", "2.2 BN层与深度学习模型的融合: 2, 3"),
        Saying("004", "3. 使用 BatchNorm 的一般建议: 5. 正则化效果"),
        Saying("004", "6. 作用: 提高模型的泛化能力"),
    )
    falsifier = (
        f"At a training loss of {FITTED:g} the network with BN is less than {_SMALLEST:g} point better on new data: "
        "every network and number of samples."
    )
    rule = (
        f"{STOPPED} The effect is the test accuracy then, with BN less "
        "without, in percentage points; BN counts with exact statistics of the training samples. The smallest that "
        f"matters is {_SMALLEST:g} point. Controls: without BN, more training samples raise the accuracy by more than "
        "that, so there is overfitting to see; and every run gets to that loss."
    )
    dated = "2026-11-27"
    revised = (
        "By the first rule rates were chosen by accuracy; at the higher of them runs ended at a low of a loss that "
        "jumped about, with weights that did not fit, and some did not end there at all."
    )
    brief = Brief("gain", Bilingual("regularization", "正则化效果"))
    sources = (
        Source(
            "Luo, Wang, Shao & Peng 2018, Towards Understanding Regularization in Batch Normalization",
            "abstract and §3: the noise of a batch's statistics acts as a regulariser",
            "https://arxiv.org/abs/1809.00846",
        ),
        Source(
            "Hoffer, Hubara & Soudry 2017, Train longer, generalize better",
            "§4: virtual batches, whose statistics are noisier",
            "https://arxiv.org/abs/1705.08741",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            f"{_FEW} and {most(DENSE):,} images of {images(preset)}, drawn anew for each seed, in batches of "
            f"32. Both networks end at the same training loss, {FITTED:g}: at the same number of steps the one with BN "
            "would merely have fitted more.",
            STOPPED,
            LOOKED_AT,
            "Beside them in the figure: BN that normalises 16 or 8 samples at a time, whose statistics are noisier.",
            seeds_sentence(preset, self.seeds(preset)),
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"{network.name}, {samples}",
                Bilingual(
                    f"{network.gloss.en} ({samples:,} images)", f"{network.gloss.zh}（{samples} 张图像）"
                ),
                network.family,
                pair(preset, network, samples),
                value=lambda bn, plain: exact_accuracy(bn) - exact_accuracy(plain),
                effect="test accuracy at one training loss, with BN less without",
                unit="percentage points",
                smallest=_SMALLEST,
            )
            for network in _NETWORKS
            for samples in (_FEW, most(network))
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan | IdentityPlan, ...]:
        more_samples_help = tuple(
            CasePlan(
                f"{network.name}, more samples",
                Bilingual(f"more images help {network.gloss.en}", f"更多图像使{network.gloss.zh}更准"),
                network.family,
                tuple(fitted(preset, network, "none", samples) for samples in (most(network), _FEW)),
                value=lambda many, few: exact_accuracy(many) - exact_accuracy(few),
                effect="test accuracy without BN, with all samples less with few",
                unit="percentage points",
                smallest=_SMALLEST,
            )
            for network in _NETWORKS
        )
        fits = tuple(
            all_fit(network, (*pair(preset, network, _FEW), *pair(preset, network, most(network))))
            for network in _NETWORKS
        )
        return (*more_samples_help, *fits)

    def beside(self, preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
        return tuple(fitted(preset, DENSE, norm, _FEW) for norm in ("ghost:16", "ghost:8"))

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        found: list[Effect] = []
        for plan in self.cases(preset, runs.rate):
            bn, plain = (runs.of(config) for config in plan.arms)
            ratios = [_loss(one) / _loss(other) for one, other in zip(plain, bn, strict=True)]
            found.append(
                geometric_effect(f"{plan.gloss.en}: test loss without BN over that with", "times", ratios)
            )
        return tuple(found)

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        groups = [runs.of(fitted(preset, DENSE, norm, _FEW)) for norm in _BY_NOISE]
        return (
            Figure(
                name="regularisation-noise",
                title=f"{DENSE.gloss.en}, {_FEW} images: test accuracy at one training loss",
                caption="The fewer samples BN normalises together, the more noise. Mean over seeds; the bar spans the "
                "lowest and the highest seed.",
                x_label="samples that are normalised together",
                y_label="test accuracy",
                y_percent=True,
                lines=False,
                series=(
                    spread_series(
                        "test accuracy",
                        tuple(_BY_NOISE.values()),
                        groups,
                        lambda run: exact_accuracy(run) / 100,
                        STYLE["batch"],
                    ),
                ),
            ),
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        measured = Bilingual("Test accuracy with BN less without", "用 BN 与不用 BN 的测试准确率之差")
        return verdict_first(found, _OPENINGS, measured, cases)

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "BN may spare you some other regularisation; check on held-out data.",
                "BN 可以减轻对其他正则化手段的依赖；请在验证集上确认。",
            )
        return Bilingual(
            "Don't count on BN against overfitting in general: use more data, augmentation, weight decay or dropout, "
            "and stop early, since BN fits faster.",
            "不要笼统地指望 BN 防止过拟合：请用更多数据、数据增强、权重衰减或 dropout；BN 拟合更快，注意早停。",
        )


def _loss(run: Run) -> float:
    return run.points[-1].test_loss
