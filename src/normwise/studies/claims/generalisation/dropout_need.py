"""Need for dropout, with BN and without."""

from collections.abc import Sequence
from statistics import fmean

from normwise.records import Bilingual, Case, Figure, Run, RunConfig, Saying, Source, Verdict
from normwise.studies.arms import Runs, Search, accuracy_at_end
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.claims.generalisation.with_dropout import (
    NETWORK,
    SAMPLES,
    search,
    steps,
    training_sentence,
    with_dropout,
)
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import LABEL, STYLE
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Preset
from normwise.studies.wording import verdict_first

_SMALLEST = 1.0
_DROPOUT = 0.5
_NORMS = ("none", "batch")

_OPENINGS: dict[Verdict, Bilingual] = {
    "supported": Bilingual(
        "With BN there was less need of dropout.", "用了 BN，对 Dropout 的依赖确实减少了。"
    ),
    "not supported": Bilingual(
        "With BN there was no less need of dropout.", "用了 BN，对 Dropout 的依赖并没有减少。"
    ),
    "depends": Bilingual(
        "With BN there was less need of dropout in some cases only.",
        "用了 BN，对 Dropout 的依赖只在部分情况下减少。",
    ),
    "undecided": Bilingual(
        "Whether there is less need of dropout with BN stayed open.",
        "用了 BN 能否减少对 Dropout 的依赖，尚无定论。",
    ),
}


class DropoutNeed(Claim):
    """Gain by dropout without BN, over the gain with BN."""

    number = 245
    name = "dropout_need"
    group = "generalisation"
    statement = Bilingual(
        "With BN there is sometimes less need of dropout.", "用了 BN，有时可以减少对 Dropout 的依赖。"
    )
    says = (Saying("004", "3. 使用 BatchNorm 的一般建议: 5. 正则化效果"),)
    falsifier = (
        f"Dropout gains less than {_SMALLEST:g} point more without BN than with it, or gains more with BN."
    )
    rule = (
        f"The effect is what dropout with probability {_DROPOUT:g} gains in test accuracy without BN, less what it "
        f"gains with BN, in percentage points. The smallest that matters is {_SMALLEST:g} point. Control: without BN "
        "dropout gains more than that; where it gains nothing, there is no need of it that BN could lessen."
    )
    dated = "2026-11-27"
    revised = (
        "By the first rule networks had 500 steps, which those with dropout don't end at: a trial showed it."
    )
    sources = (
        ioffe_szegedy("§3.4: with BN dropout can be removed or reduced in strength"),
        Source(
            "Zhang, Bengio, Hardt, Recht & Vinyals 2017, Understanding deep learning requires rethinking "
            "generalization",
            "§2: networks learn wrong labels by heart",
            "https://arxiv.org/abs/1611.03530",
        ),
    )

    def seeds(self, preset: Preset) -> tuple[int, ...]:
        # A difference of differences needs more of them.
        further = tuple(range(preset.seeds[-1] + 1, preset.seeds[-1] + 4))
        return (*preset.seeds, *preset.pick(quick=(), full=further))

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            f"{SAMPLES} images of {preset.data}, drawn anew for each seed, a fifth of which have a label drawn at "
            "random: on so few clean images dropout gains nothing even without BN. Tested on right labels.",
            training_sentence(preset, "with BN and without, with dropout and without"),
            "They are enough to learn all samples by heart without dropout, with BN and without.",
            "The steps count: with dropout, networks are not at their end after 500, and in a trial dropout gained "
            "more with BN then, and more without BN after 3,000.",
            "Dropout stands behind each hidden layer, and so in front of the next layer's BN, whose statistics it "
            "disturbs: that favours the claim.",
            seeds_sentence(preset, self.seeds(preset)),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(
            search(preset, norm, dropout, data=data)
            for data in _data(preset)
            for norm in _NORMS
            for dropout in (0.0, _DROPOUT)
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                data,
                gloss,
                "dense",
                (*_arms(preset, "none", data, rate), *_arms(preset, "batch", data, rate)),
                value=lambda plain, plain_dropped, bn, bn_dropped: (
                    _gain(plain, plain_dropped) - _gain(bn, bn_dropped)
                ),
                effect="gain by dropout without BN less that with",
                unit="percentage points",
                smallest=_SMALLEST,
                note=_gains,
            )
            for data, gloss in _data(preset).items()
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"{data}, dropout helps",
                Bilingual(f"dropout helps without BN on {gloss.en}", f"不用 BN 时 Dropout 对{gloss.zh}有效"),
                "dense",
                _arms(preset, "none", data, rate),
                value=_gain,
                effect="gain by dropout without BN",
                unit="percentage points",
                smallest=_SMALLEST,
            )
            for data, gloss in _data(preset).items()
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            Figure(
                name=f"dropout-need-{data}",
                title=f"{NETWORK.gloss.en}, {gloss.en}: test accuracy with and without dropout",
                caption="Mean over seeds; the bar spans the lowest and the highest seed.",
                x_label="dropout",
                y_label="test accuracy",
                y_percent=True,
                lines=False,
                series=tuple(
                    spread_series(
                        LABEL[norm],
                        ("none", f"{_DROPOUT:g}"),
                        [runs.of(config) for config in _arms(preset, norm, data, runs.rate)],
                        accuracy_at_end,
                        STYLE[norm],
                    )
                    for norm in _NORMS
                ),
            )
            for data, gloss in _data(preset).items()
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        measured = Bilingual(
            "Gain by dropout without BN less that with BN", "Dropout 不用 BN 时的收益减去用 BN 时的收益"
        )
        return verdict_first(found, _OPENINGS, measured, cases)

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "With BN, try less dropout first.",
                "用了 BN，可先尝试更小的 Dropout。",
            )
        return Bilingual(
            "Don't drop dropout because of BN: compare both on held-out data.",
            "不要因为用了 BN 就去掉 Dropout：请在验证集上比较。",
        )


def _data(preset: Preset) -> dict[str, Bilingual]:
    return {
        f"{preset.data}-with-wrong-labels": Bilingual(
            f"images with wrong labels ({steps(preset):,} steps)", f"含错误标签的图像（{steps(preset)} 步）"
        )
    }


def _arms(preset: Preset, norm: str, data: str, rate: Rate) -> tuple[RunConfig, RunConfig]:
    """Return the run without dropout, and with it."""
    without, dropped = (with_dropout(preset, norm, dropout, rate, data=data) for dropout in (0.0, _DROPOUT))
    return without, dropped


def _gain(without: Run, dropped: Run) -> float:
    return 100 * (accuracy_at_end(dropped) - accuracy_at_end(without))


def _gains(
    plain: Sequence[Run], plain_dropped: Sequence[Run], bn: Sequence[Run], bn_dropped: Sequence[Run]
) -> str:
    without, with_bn = (fmean(map(_gain, *pair)) for pair in ((plain, plain_dropped), (bn, bn_dropped)))
    return f"dropout gains {without:.1f} points without BN, {with_bn:.1f} with"
