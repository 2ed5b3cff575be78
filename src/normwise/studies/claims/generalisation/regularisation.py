"""BN against overfitting, of networks that fit their training data equally well."""

from collections.abc import Sequence

from normwise.records import Bilingual, Case, Effect, Figure, Run, RunConfig, Saying, Source, Verdict
from normwise.studies.arms import Runs, Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.claims.generalisation.few_samples import (
    CONVOLUTION,
    DENSE,
    FITTED,
    RATES,
    exact_accuracy,
    fitted,
    images,
    most,
    search,
)
from normwise.studies.judging.intervals import geometric_effect
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import STYLE
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import of_each

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
        Saying("000", "advantages, 3: regularisation"),
        Saying("001", "2.2, 2 and 3: generalisation and overfitting"),
        Saying("004", "3, general advice, 5: regularisation"),
    )
    falsifier = (
        f"At a training loss of {FITTED:g} the network with BN is less than {_SMALLEST:g} point better on new data: "
        "every network and number of samples."
    )
    rule = (
        f"Training ends at a mean training loss of {FITTED:g}. The effect is the test accuracy then, with BN less "
        "without, in percentage points; BN counts with exact statistics of the training samples. The smallest that "
        f"matters is {_SMALLEST:g} point. Control: without BN, more training samples raise the accuracy by more than "
        "that, so there is overfitting to see."
    )
    dated = "2026-11-27"
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
            f"32. Both networks end at the same training loss, {FITTED:g}, looked at every 5 steps up to step 100 and "
            "then after a twentieth of all steps so far: at the same number of steps the one with BN would merely have "
            "fitted more.",
            f"Learning rates {', '.join(map(str, RATES))} are tried on {most(DENSE):,} images.",
            "Beside them in the figure: BN that normalises 16 or 8 samples at a time, whose statistics are noisier.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(search(preset, network, norm) for network in _NETWORKS for norm in ("batch", "none"))

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"{network.name}, {samples}",
                Bilingual(
                    f"{network.gloss.en} ({samples:,} images)", f"{network.gloss.zh}（{samples} 张图像）"
                ),
                network.family,
                _pair(preset, network, samples, rate),
                value=lambda bn, plain: exact_accuracy(bn) - exact_accuracy(plain),
                effect="test accuracy at one training loss, with BN less without",
                unit="percentage points",
                smallest=_SMALLEST,
                note=_unfitted,
            )
            for network in _NETWORKS
            for samples in (_FEW, most(network))
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"{network.name}, more samples",
                Bilingual(f"more images help {network.gloss.en}", f"更多图像使{network.gloss.zh}更准"),
                network.family,
                tuple(fitted(preset, network, "none", samples, rate) for samples in (most(network), _FEW)),
                value=lambda many, few: exact_accuracy(many) - exact_accuracy(few),
                effect="test accuracy without BN, with all samples less with few",
                unit="percentage points",
                smallest=_SMALLEST,
            )
            for network in _NETWORKS
        )

    def beside(self, preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
        return tuple(fitted(preset, DENSE, norm, _FEW, rate) for norm in ("ghost:16", "ghost:8"))

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
        groups = [runs.of(fitted(preset, DENSE, norm, _FEW, runs.rate)) for norm in _BY_NOISE]
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
        each = of_each(cases)
        return Bilingual(
            f"Fitted equally well, networks with BN differed in accuracy on new data by {each.en}.",
            f"在训练集上拟合程度相同时，用 BN 带来的测试准确率变化：{each.zh}。",
        )

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


def _pair(preset: Preset, network: Network, samples: int, rate: Rate) -> tuple[RunConfig, RunConfig]:
    bn, plain = (fitted(preset, network, norm, samples, rate) for norm in ("batch", "none"))
    return bn, plain


def _loss(run: Run) -> float:
    return run.points[-1].test_loss


def _unfitted(bn: Sequence[Run], plain: Sequence[Run]) -> str:
    """Name the runs that ended with their budget and not with the loss."""
    missed = sum(not run.points[-1].loss <= FITTED for run in (*bn, *plain))
    return f"{missed} of {len(bn) + len(plain)} runs did not get to that loss" if missed else ""
