"""Dropout in front of BN: what it does to BN's statistics, and to the accuracy."""

from collections.abc import Sequence
from statistics import fmean

from normwise.records import Bilingual, Case, Figure, Run, RunConfig, Source, Verdict
from normwise.studies.arms import Runs, Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.claims.generalisation.with_dropout import (
    NETWORK,
    SAMPLES,
    search,
    training_sentence,
    with_dropout,
)
from normwise.studies.judging.run_queries import final_accuracy, result
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import RECOMPUTED, STYLE
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Preset
from normwise.studies.wording import verdict_first

_DROPOUT = 0.5
#: Places of the dropout, and what a reader calls them: in front of a BN layer, and behind the last one.
_PLACES = {"between": "in front of BN", "last": "behind the last BN"}
_SMALLEST_RATIO, _SMALLEST_POINTS = 1.25, 0.5
_LI = Source(
    "Li, Chen, Hu & Yang 2018, Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift",
    "§3 and §4: the variance in evaluation is another; dropout belongs behind all BN layers",
    "https://arxiv.org/abs/1801.05134",
)

_VARIANCE: dict[Verdict, Bilingual] = {
    "supported": Bilingual(
        "Dropout in front of BN made the variance that BN keeps too large.",
        "Dropout 放在 BN 之前，会使 BN 保存的方差偏大。",
    ),
    "not supported": Bilingual(
        "Dropout in front of BN did not make the variance that BN keeps too large.",
        "Dropout 放在 BN 之前，并没有使 BN 保存的方差偏大。",
    ),
    "depends": Bilingual(
        "Dropout in front of BN made the variance that BN keeps too large in some networks only.",
        "Dropout 放在 BN 之前，只在部分网络中使 BN 保存的方差偏大。",
    ),
    "undecided": Bilingual(
        "Whether dropout in front of BN makes the variance that BN keeps too large stayed open.",
        "Dropout 放在 BN 之前是否使 BN 保存的方差偏大，尚无定论。",
    ),
}
_ACCURACY: dict[Verdict, Bilingual] = {
    "supported": Bilingual(
        "Dropout in front of BN cost accuracy by BN's statistics.",
        "Dropout 放在 BN 之前，确实因 BN 统计量失准而降低了准确率。",
    ),
    "not supported": Bilingual(
        "Dropout in front of BN cost no accuracy by BN's statistics.",
        "Dropout 放在 BN 之前，并没有因 BN 统计量失准而降低准确率。",
    ),
    "depends": Bilingual(
        "Dropout in front of BN cost some networks accuracy by BN's statistics.",
        "Dropout 放在 BN 之前，只在部分网络中因 BN 统计量失准而降低准确率。",
    ),
    "undecided": Bilingual(
        "Whether dropout in front of BN costs accuracy by BN's statistics stayed open.",
        "Dropout 放在 BN 之前是否因 BN 统计量失准而降低准确率，尚无定论。",
    ),
}


class DropoutOrder(Claim):
    """Variance that BN keeps over the one in evaluation, with dropout in front of BN over behind."""

    number = 246
    name = "dropout_order"
    group = "generalisation"
    statement = Bilingual(
        "Dropout in front of BN makes the variance that BN keeps too large for use.",
        "Dropout 放在 BN 之前，会使 BN 保存的方差在推理时偏大。",
    )
    says = ()
    falsifier = (
        f"With dropout in front of BN the variance that it keeps is less than {_SMALLEST_RATIO:g} times too large, "
        "compared with dropout behind the last BN."
    )
    rule = (
        "Kept too large is the running variance of the last BN layer over the variance of its inputs on the test set, "
        "the median over its channels. The effect is that with dropout in front of the layer over that with dropout "
        f"behind it. The smallest that matters is {_SMALLEST_RATIO:g} times."
    )
    dated = "2026-11-27"
    sources = (_LI,)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return _protocol(preset)

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return _searches(preset)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return (
            CasePlan(
                NETWORK.name,
                NETWORK.gloss,
                "dense",
                _arms(preset, rate),
                value=lambda before, behind: _kept_too_large(before) / _kept_too_large(behind),
                effect="variance kept over that in evaluation, dropout before BN over behind",
                unit="times",
                smallest=_SMALLEST_RATIO,
                note=_variances,
            ),
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        measured = Bilingual(
            "Excess of the variance that BN keeps, with dropout in front of it compared with dropout behind",
            "BN 保存的方差的偏大倍数，Dropout 在 BN 之前与之后之比",
        )
        return verdict_first(found, _VARIANCE, measured, cases)

    def advice(self, found: Verdict) -> Bilingual:
        if found == "not supported":
            return Bilingual(
                "The order made little difference to the statistics here; behind the last BN it makes none.",
                "这里次序对统计量影响很小；放在最后一个 BN 之后则没有影响。",
            )
        if found == "supported":
            return Bilingual(
                "Put dropout behind the last BN. If it stands in front of one, run `normwise calibrate` after "
                "training.",
                "请把 Dropout 放在最后一个 BN 之后；若放在 BN 之前，训练后运行 `normwise calibrate`。",
            )
        return Bilingual(
            "Look at the statistics of your own network: `normwise doctor` compares those that BN keeps with those in "
            "use.",
            "请查看自己网络的统计量：`normwise doctor` 会比较 BN 保存的与推理时的统计量。",
        )


class DropoutOrderAccuracy(Claim):
    """Accuracy that statistics without dropout regain, with dropout in front of BN over behind."""

    number = 247
    name = "dropout_order_accuracy"
    group = "generalisation"
    statement = Bilingual(
        "Dropout in front of BN costs accuracy, by the statistics that BN keeps.",
        "Dropout 放在 BN 之前，会因 BN 统计量失准而降低准确率。",
    )
    says = ()
    falsifier = (
        "Statistics that are computed anew without dropout regain no more accuracy with dropout in front of BN than "
        "behind it."
    )
    rule = (
        "Regained is the test accuracy with statistics of the training set, computed anew without dropout, less that "
        "with the running statistics of the training. The effect is what is regained with dropout in front of a BN "
        "layer, less what is regained with dropout behind the last one, in percentage points. The smallest that "
        f"matters is {_SMALLEST_POINTS:g} points."
    )
    dated = "2026-11-27"
    sources = (_LI,)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return _protocol(preset)

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return _searches(preset)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return (
            CasePlan(
                NETWORK.name,
                NETWORK.gloss,
                "dense",
                _arms(preset, rate),
                value=lambda before, behind: _regained(before) - _regained(behind),
                effect="accuracy regained with dropout before BN less that with dropout behind",
                unit="percentage points",
                smallest=_SMALLEST_POINTS,
            ),
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        looks = (
            ("statistics of the training", STYLE["batch"], final_accuracy),
            ("computed anew without dropout", RECOMPUTED, _recomputed),
        )
        return (
            Figure(
                name="dropout-order",
                title=f"{NETWORK.gloss.en}: test accuracy by the place of dropout and by BN's statistics",
                caption="Mean over seeds; the bar spans the lowest and the highest seed.",
                x_label="place of the dropout",
                y_label="test accuracy",
                y_percent=True,
                lines=False,
                series=tuple(
                    spread_series(
                        label,
                        tuple(_PLACES.values()),
                        [runs.of(config) for config in _arms(preset, runs.rate)],
                        value,
                        style,
                    )
                    for label, style, value in looks
                ),
            ),
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        measured = Bilingual(
            "Accuracy that statistics computed anew regained with dropout in front, less that with dropout behind",
            "重新统计挽回的准确率，Dropout 在前与在后之差",
        )
        return verdict_first(found, _ACCURACY, measured, cases)

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "If dropout stands in front of BN, run `normwise calibrate` after training.",
                "若 Dropout 放在 BN 之前，训练后运行 `normwise calibrate`。",
            )
        return Bilingual(
            "Measure before you move dropout: `normwise doctor` compares the accuracy with both statistics.",
            "移动 Dropout 之前先测量：`normwise doctor` 会比较两种统计量下的准确率。",
        )


def _protocol(preset: Preset) -> tuple[str, ...]:
    return (
        f"{NETWORK.gloss.en.capitalize()} with BN, {SAMPLES} images of {preset.data}, drawn anew for each seed; "
        f"dropout {_DROPOUT:g} either between them, so that a BN layer follows, or behind the last.",
        training_sentence(preset, "with dropout behind each layer"),
        seeds_sentence(preset),
    )


def _searches(preset: Preset) -> tuple[Search, ...]:
    return (search(preset, "batch", _DROPOUT, data=preset.data),)


def _arms(preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
    """Return the runs with dropout in front of a BN layer, and behind the last one."""
    return tuple(
        with_dropout(
            preset,
            "batch",
            _DROPOUT,
            rate,
            data=preset.data,
            place=place,
            measures=("recomputed_accuracy", "kept_variance"),
        )
        for place in _PLACES
    )


def _recomputed(run: Run) -> float:
    return result(run).measured["recomputed_accuracy"]


def _regained(run: Run) -> float:
    return 100 * (_recomputed(run) - final_accuracy(run))


def _kept_too_large(run: Run) -> float:
    return 1 / result(run).measured["kept_variance"]


def _variances(before: Sequence[Run], behind: Sequence[Run]) -> str:
    ratios = [fmean(map(_kept_too_large, group)) for group in (before, behind)]
    return f"{ratios[0]:.2f} times too large with dropout in front of BN, {ratios[1]:.2f} behind"
