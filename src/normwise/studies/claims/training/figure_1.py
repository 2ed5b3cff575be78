"""Figure 1 of Ioffe & Szegedy 2015: the accuracy and the input of a sigmoid over 50,000 steps."""

from normwise.records import Figure, Run, RunConfig
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import LABEL, NONE, STYLE
from normwise.studies.preset import Preset

_STEPS = 50_000
#: The paper gives none.
_LEARNING_RATE = 0.1
_NORMS = ("batch", "none")


def figure_1_runs(preset: Preset) -> tuple[RunConfig, ...]:
    """Return the runs of the figure, with BN and without, of one seed as in the paper; none in quick."""
    runs = tuple(
        RunConfig(
            model="ioffe_mlp",
            data=preset.data,
            norm=norm,
            steps=_STEPS,
            batch_size=60,
            lr=_LEARNING_RATE,
            seed=preset.seeds[0],
            eval_every=_STEPS // 100,
            measures=("input_percentiles",),
        )
        for norm in _NORMS
    )
    return preset.pick(quick=(), full=runs)


def figure_1_sentence() -> str:
    """Return what the figure's runs are, as a sentence of a protocol."""
    return (
        f"Figure 1 of the paper, beside the verdict: its network of 3 sigmoid layers, {_STEPS:,} steps at a learning "
        f"rate of {_LEARNING_RATE:g}, all images, and the 15th, 50th and 85th percentile of what one sigmoid of "
        "the last hidden layer gets. Greyscale pixels, where the paper has binary ones."
    )


def figure_1(with_bn: Run, without: Run) -> tuple[Figure, ...]:
    """Return its three parts."""
    by_norm = {"batch": with_bn, "none": without}
    accuracy = Figure(
        name="fewer-steps-figure-1",
        title="Figure 1a of the paper: test accuracy while training",
        caption=f"Seed {with_bn.config.seed}.",
        x_label="steps",
        y_label="test accuracy",
        y_percent=True,
        series=tuple(curve_series(LABEL[norm], [run], STYLE[norm]) for norm, run in by_norm.items()),
    )
    return accuracy, _percentiles("b", "none", without), _percentiles("c", "batch", with_bn)


def _percentiles(part: str, norm: str, run: Run) -> Figure:
    return Figure(
        name=f"percentiles-{norm}",
        title=f"Figure 1{part} of the paper: what a sigmoid gets, {LABEL[norm]}",
        caption="Percentiles over the test set of the input of unit 0 of the last hidden layer, seed "
        f"{run.config.seed}.",
        x_label="steps",
        y_label="input of the sigmoid",
        series=tuple(
            curve_series(
                f"{percent}th percentile",
                [run],
                style,
                lambda run, place=place: [point.measured["input_percentiles"][place] for point in run.points],
            )
            for place, (percent, style) in enumerate(((15, NONE), (50, STYLE["batch"]), (85, 2)))
        ),
    )
