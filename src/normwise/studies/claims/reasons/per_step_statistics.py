"""BN within the recurrence needs statistics of its own for each time step."""

from collections.abc import Sequence
from dataclasses import replace

from normwise.records import Bilingual, Case, Effect, Figure, Run, RunConfig, Source, Verdict
from normwise.studies.arms import Runs, Search, accuracy_at_end
from normwise.studies.case_plan import CasePlan, IdentityPlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.claims.reasons.sequence_runs import at_its_rate, budgets_sentence, search
from normwise.studies.judging.intervals import mean_effect
from normwise.studies.judging.run_queries import result
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import LAYER, RECURRENT, UNMASKED
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Preset
from normwise.studies.wording import verdict_first

#: Percentage points that sharing must cost for the claim, and by which the weights may differ.
_SMALLEST, _SAME = 1.0, 0.1
_NEEDED: dict[Verdict, Bilingual] = {
    "supported": Bilingual(
        "BN within the recurrence needs statistics for each time step.",
        "循环层内部的 BN 需要逐时间步的统计量。",
    ),
    "not supported": Bilingual(
        "Shared statistics were as good as those for each time step.", "各时间步共用统计量同样好。"
    ),
    "depends": Bilingual(
        "It depends whether each time step needs statistics of its own.",
        "是否需要逐时间步的统计量，视情况而定。",
    ),
    "undecided": Bilingual(
        "Whether each time step needs statistics of its own stayed open.",
        "是否需要逐时间步的统计量，尚无定论。",
    ),
}


class PerStepStatistics(Claim):
    """Images read row by row, with running statistics for each row less with those of all rows together."""

    number = 451
    name = "per_step_statistics"
    group = "reasons"
    statement = Bilingual(
        "BN within a recurrent layer needs statistics of its own for each time step.",
        "循环层内部的 BN 需要为每个时间步单独保存统计量。",
    )
    says = ()
    falsifier = (
        f"With running statistics that all steps share, the network loses less than {_SMALLEST:g} point of test "
        "accuracy."
    )
    rule = (
        "The effect is the test accuracy with running statistics for each step less that with shared ones, in "
        f"percentage points. The smallest that matters is {_SMALLEST:g}. Control: with each batch's own statistics, "
        f"which are not shared, both have the same accuracy within {_SAME:g} points, so that the weights are the same."
    )
    dated = "2026-11-27"
    revised = "The first rule had three seeds, no control and one learning rate that was not chosen."
    sources = (
        Source(
            "Cooijmans, Ballas, Laurent, Gülçehre & Courville 2016, Recurrent Batch Normalization",
            "§3: statistics for each step, since the first steps differ from the later ones; §5.1: sequential MNIST",
            "https://arxiv.org/abs/1603.09025",
        ),
    )

    def seeds(self, preset: Preset) -> tuple[int, ...]:
        # The loss differs much from one seed to the next.
        following = preset.seeds[-1] + 1
        return (*preset.seeds, *preset.pick(quick=(), full=range(following, following + 3)))

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        rows = preset.sequences["row_lstm"]
        return (
            budgets_sentence(preset, [rows]),
            "An LSTM with BN of what goes in, of what comes back and of the cell, γ beginning at 0.1; running "
            f"statistics for each of {rows.options['max_length']} steps, or one set that all steps update and "
            "evaluation uses at each. In training every step is normalised by its own batch either way. Beside them "
            "LayerNorm within the recurrence, which needs no statistics.",
            seeds_sentence(preset, self.seeds(preset)),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        rows = preset.sequences["row_lstm"]
        return tuple(search(preset, rows, norm) for norm in ("recurrent_batch", "recurrent_layer"))

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        rows = preset.sequences["row_lstm"]
        return (
            CasePlan(
                rows.name,
                rows.gloss,
                rows.family,
                _arms(preset, rate),
                value=lambda each, shared: 100 * (accuracy_at_end(each) - accuracy_at_end(shared)),
                effect="accuracy with statistics for each step less accuracy with shared ones",
                unit="percentage points",
                smallest=_SMALLEST,
            ),
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[IdentityPlan, ...]:
        rows = preset.sequences["row_lstm"]
        return (
            IdentityPlan(
                f"{rows.name}, weights",
                Bilingual("both learn the same weights", "两者学到相同的权重"),
                rows.family,
                _arms(preset, rate),
                deviation=lambda each, shared: 100 * abs(_by_batch(each) - _by_batch(shared)),
                effect="difference of the accuracies with each batch's own statistics",
                unit="percentage points",
                rounding=_SAME,
            ),
        )

    def beside(self, preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
        return (_layer_norm(preset, rate),)

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        each, layer = (
            runs.of(config) for config in (_arms(preset, runs.rate)[0], _layer_norm(preset, runs.rate))
        )
        leads = [
            100 * (accuracy_at_end(one) - accuracy_at_end(other))
            for one, other in zip(layer, each, strict=True)
        ]
        return (
            mean_effect(
                "lead of LayerNorm within the recurrence over BN with statistics for each step",
                "percentage points",
                leads,
            ),
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        each, shared = (runs.of(config) for config in _arms(preset, runs.rate))
        return (
            Figure(
                name="per-step-statistics",
                title="Rows of an image: test accuracy with running statistics while training",
                caption="Mean over seeds; the band spans the lowest and the highest seed.",
                x_label="steps",
                y_label="test accuracy",
                y_percent=True,
                series=(
                    curve_series("BN, statistics for each step", each, RECURRENT),
                    curve_series("BN, statistics shared by all steps", shared, UNMASKED),
                    curve_series(
                        "LayerNorm within the recurrence", runs.of(_layer_norm(preset, runs.rate)), LAYER
                    ),
                ),
            ),
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        measured = Bilingual(
            "What statistics for each step were worth in accuracy", "逐时间步的统计量使准确率变化"
        )
        return verdict_first(found, _NEEDED, measured, cases)

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "Keep statistics for each step where you put BN within a recurrent layer, or take LayerNorm there, "
                "which needs none.",
                "若把 BN 放进循环层内部，要为每个时间步单独保存统计量；或改用不需要统计量的 LayerNorm。",
            )
        return Bilingual(
            "Take LayerNorm within recurrent layers, which needs no statistics, before you think about those of BN.",
            "在循环层内部优先用不需要统计量的 LayerNorm，再考虑 BN 的统计量怎么存。",
        )


def _arms(preset: Preset, rate: Rate) -> tuple[RunConfig, RunConfig]:
    each = at_its_rate(preset, rate, preset.sequences["row_lstm"], "recurrent_batch")
    return each, replace(each, options={**each.options, "max_length": 1})


def _layer_norm(preset: Preset, rate: Rate) -> RunConfig:
    return at_its_rate(preset, rate, preset.sequences["row_lstm"], "recurrent_layer")


def _by_batch(run: Run) -> float:
    accuracy = result(run).batch_statistics_accuracy
    if accuracy is None:
        raise ValueError(f"run {run.config.key} has no accuracy with batch statistics")
    return accuracy
