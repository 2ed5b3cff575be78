"""BN within the recurrence needs statistics of its own for each time step."""

from collections.abc import Sequence

from normwise.records import Figure, Run, RunConfig, Source
from normwise.studies.claim import Claim, Judgement
from normwise.studies.judging.intervals import mean_effect
from normwise.studies.judging.run_queries import final_accuracy, gains, result, select
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import NONE, RECURRENT, UNMASKED
from normwise.studies.network_run import sequence_budget, sequence_run
from normwise.studies.preset import Preset

#: Percentage points that sharing must cost for the claim.
_LEAST = 1.0


class PerStepStatistics(Claim):
    """Images read row by row, with running statistics for each row and with those of all rows together."""

    number = 9
    name = "per_step_statistics"
    statement = "BN within a recurrent layer needs statistics of its own for each time step."
    falsifier = (
        f"With running statistics that all steps share, the network loses no more than {_LEAST:g} point of test "
        "accuracy. Where the seeds don't tell: it depends."
    )
    rule = (
        "The cost is the test accuracy with running statistics for each step less that with shared ones, per seed, in "
        f"percentage points. Its interval lies above {_LEAST:g}: supported; below {_LEAST:g}: not supported; else: "
        "depends."
    )
    sources = (
        Source(
            "Cooijmans, Ballas, Laurent, Gülçehre & Courville 2016, Recurrent Batch Normalization",
            "§3: statistics for each step, since the first steps differ from the later ones; §5.1: sequential MNIST",
            "https://arxiv.org/abs/1603.09025",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        network = preset.rows
        tested = (
            f" Tested on the first {network.test_samples:,} test samples." if network.test_samples else ""
        )
        return (
            f"Rows of an image as time steps: {sequence_budget([network], preset.seeds)}{tested}",
            "An LSTM with BN of what goes in, of what comes back and of the cell, γ beginning at 0.1; running "
            f"statistics for each of {network.options['max_length']} steps, or one set that all steps update and "
            "evaluation uses at each. In training every step is normalised by its own batch either way, so that the "
            "weights come out the same: what differs is what is kept for evaluation. Beside them the same LSTM without "
            "BN.",
        )

    def runs(self, preset: Preset) -> tuple[RunConfig, ...]:
        network = preset.rows
        own = dict(network.options)
        return tuple(
            sequence_run(network, norm, seed, options=options)
            for norm, options in (
                ("recurrent_batch", own),
                ("recurrent_batch", own | {"max_length": 1}),
                ("none", own),
            )
            for seed in preset.seeds
        )

    def judge(self, preset: Preset, runs: Sequence[Run]) -> Judgement:
        steps = preset.rows.options["max_length"]
        each = select(runs, norm="recurrent_batch", max_length=steps)
        shared = select(runs, norm="recurrent_batch", max_length=1)
        plain = select(runs, norm="none")
        cost = mean_effect(
            "what sharing the statistics of all steps costs",
            "percentage points",
            gains(each, shared, final_accuracy),
        )
        trained = mean_effect(
            "the same cost with each batch's own statistics, which are not shared",
            "percentage points",
            gains(each, shared, _with_batch_statistics),
        )
        lead = mean_effect(
            "lead of BN with statistics for each step over none",
            "percentage points",
            gains(each, plain, final_accuracy),
        )
        verdict = "supported" if cost.low > _LEAST else "not supported" if cost.high < _LEAST else "depends"
        sentence = (
            f"Shared running statistics cost {cost.estimate:.1f} points of test accuracy; with each batch's own "
            f"statistics the difference is {trained.estimate:.1f}. Against an LSTM without BN the one with statistics "
            f"for each step ended {lead.estimate:+.1f} points away."
        )
        return Judgement(verdict, sentence, (cost, trained, lead), (_figure(each, shared, plain),))


def _with_batch_statistics(run: Run) -> float:
    accuracy = result(run).batch_statistics_accuracy
    if accuracy is None:
        raise ValueError(f"run {run.config.key} has no accuracy with batch statistics")
    return accuracy


def _figure(each: Sequence[Run], shared: Sequence[Run], plain: Sequence[Run]) -> Figure:
    return Figure(
        name="per-step",
        title="Test accuracy with running statistics, on the way",
        caption="Mean over seeds; the band spans the lowest and the highest seed.",
        x_label="step",
        y_label="test accuracy",
        y_percent=True,
        series=(
            curve_series("BN, statistics for each step", each, RECURRENT),
            curve_series("BN, statistics shared by all steps", shared, UNMASKED),
            curve_series("without BN", plain, NONE),
        ),
    )
