"""Dropout in front of BN, and what it does to BN's statistics."""

from collections.abc import Sequence
from statistics import fmean

from normwise.records import Bilingual, Case, Figure, Run, RunConfig, Source, Verdict
from normwise.studies.arms import Runs, Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.claims.generalisation.with_dropout import NETWORK, SAMPLES, search, with_dropout
from normwise.studies.judging.run_queries import result
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import RECOMPUTED, STYLE
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Preset
from normwise.studies.wording import of_each

_SMALLEST = 0.5
_DROPOUTS = (0.2, 0.5)
#: Places of the dropout, and how a reader sees them: in front of a BN layer, and behind the last one.
_BEFORE, _BEHIND = "between", "last"
_PLACES = {_BEFORE: "before BN", _BEHIND: "behind the last BN"}


class DropoutOrder(Claim):
    """Accuracy that BN's statistics cost where dropout stands in front of it, over where it stands behind."""

    number = 46
    name = "dropout_order"
    group = "generalisation"
    statement = Bilingual(
        "Dropout in front of BN spoils the statistics that BN keeps; behind the last BN it does not.",
        "Dropout 放在 BN 之前会使 BN 保存的统计量失准；放在最后一个 BN 之后则不会。",
    )
    says = ()
    falsifier = (
        "Statistics that are computed anew without dropout regain no more accuracy with dropout in front of BN than "
        "behind it: every strength of dropout."
    )
    rule = (
        "Regained is the test accuracy with statistics of the training set, computed anew without dropout, less that "
        "with the running statistics of the training. The effect is what is regained with dropout in front of a BN "
        "layer, less what is regained with dropout behind the last one, in percentage points. The smallest that "
        f"matters is {_SMALLEST:g} points."
    )
    dated = "2026-11-27"
    sources = (
        Source(
            "Li, Chen, Hu & Yang 2018, Understanding the Disharmony between Dropout and Batch Normalization by "
            "Variance Shift",
            "§3 and §4: the variance in evaluation is another; dropout belongs behind all BN layers",
            "https://arxiv.org/abs/1801.05134",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            f"{NETWORK.gloss.en.capitalize()} with BN, {SAMPLES} images of {preset.data}, drawn anew for each seed; "
            "one layer of dropout either between them, so that a BN layer follows, or behind the last.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(search(preset, "batch", dropout, data=preset.data) for dropout in _DROPOUTS)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"dropout {dropout:g}",
                Bilingual(f"dropout {dropout:g}", f"Dropout {dropout:g}"),
                "dense",
                tuple(_arm(preset, dropout, place, rate) for place in _PLACES),
                value=lambda before, behind: _regained(before) - _regained(behind),
                effect="accuracy regained with dropout before BN less that with dropout behind",
                unit="percentage points",
                smallest=_SMALLEST,
                note=_variances,
            )
            for dropout in _DROPOUTS
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        looks = (
            ("statistics of the training", STYLE["batch"], lambda run: result(run).test_accuracy),
            ("computed anew without dropout", RECOMPUTED, _recomputed),
        )
        return tuple(
            Figure(
                name=f"dropout-order-{dropout:g}",
                title=f"Dropout {dropout:g}: test accuracy by its place and BN's statistics",
                caption="Mean over seeds; the bar spans the lowest and the highest seed.",
                x_label="place of the dropout",
                y_label="test accuracy",
                y_percent=True,
                lines=False,
                series=tuple(
                    spread_series(
                        label,
                        tuple(_PLACES.values()),
                        [runs.of(_arm(preset, dropout, place, runs.rate)) for place in _PLACES],
                        value,
                        style,
                    )
                    for label, style, value in looks
                ),
            )
            for dropout in _DROPOUTS
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            "With dropout in front of BN, statistics computed anew regained this much more accuracy than with dropout "
            f"behind it: {each.en}.",
            f"Dropout 放在 BN 之前时，重新统计能比放在之后时多挽回：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "not supported":
            return Bilingual(
                "The order cost no accuracy here; behind the last BN is still the place without a risk.",
                "这里次序没有造成准确率损失；放在最后一个 BN 之后仍是最稳妥的。",
            )
        return Bilingual(
            "Put dropout behind the last BN. If it stands in front of one, run `normwise calibrate` after training.",
            "请把 Dropout 放在最后一个 BN 之后；若放在 BN 之前，训练后运行 `normwise calibrate`。",
        )


def _arm(preset: Preset, dropout: float, place: str, rate: Rate) -> RunConfig:
    return with_dropout(
        preset,
        "batch",
        dropout,
        rate,
        data=preset.data,
        place=place,
        measures=("recomputed_accuracy", "kept_variance"),
    )


def _recomputed(run: Run) -> float:
    return result(run).measured["recomputed_accuracy"]


def _regained(run: Run) -> float:
    return 100 * (_recomputed(run) - result(run).test_accuracy)


def _variances(before: Sequence[Run], behind: Sequence[Run]) -> str:
    ratios = [fmean(result(run).measured["kept_variance"] for run in group) for group in (before, behind)]
    return f"variance in evaluation over the one kept: {ratios[0]:.2f} with dropout before BN, {ratios[1]:.2f} behind"
