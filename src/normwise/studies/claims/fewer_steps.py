"""BN reaches a given accuracy in fewer steps."""

from collections.abc import Sequence
from statistics import geometric_mean

from normwise.records import Effect, Figure, Run, RunConfig
from normwise.studies.claim import Claim, Judgement, all_or_some, ioffe_szegedy
from normwise.studies.judging.bounds import LOWER, UPPER, bounds_among, times
from normwise.studies.judging.intervals import geometric_effect, over_networks
from normwise.studies.judging.run_queries import final_accuracy, select
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import LABEL, NONE, STYLE
from normwise.studies.network_run import BATCH_SIZE, LEARNING_RATES, budget, learning_rate_sweep
from normwise.studies.preset import Preset

#: Learning rate of the runs of figure 1: the paper gives none.
_FIGURE_1_LR = 0.1
_EFFECT = "steps without BN over steps with"


class FewerSteps(Claim):
    """Steps until a test accuracy, without BN over with BN."""

    number = 1
    name = "fewer_steps"
    statement = "BN reaches a given accuracy in fewer steps."
    falsifier = (
        "Without BN, at the learning rate that suits it best, a network reaches the target in as few steps as with "
        "BN: every network. Some networks: it depends."
    )
    rule = (
        "For each network and norm the learning rate is taken at which the target is reached soonest "
        "(geometric mean over seeds). A run counts with the middle between the evaluation t that saw the target "
        "reached and the one before, t - e/2 where there are e steps between two; a run that never reaches it, with "
        "its whole budget. The effect is the ratio of steps, without BN over with BN, per seed. Its interval is "
        "widened on both sides by what the evaluations leave open: the factor t / (t - e/2) of either norm, with "
        "the geometric mean of t over the seeds that reached the target. A network shows the claim when the interval "
        "of its ratio lies above 1. All networks: supported; none: not supported; else: depends."
    )
    sources = (
        ioffe_szegedy("§4.1 and figure 1: MNIST; §4.2.2 and figure 2: ImageNet"),
        ioffe_szegedy("§3.3: higher learning rates"),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        lines = (
            budget(preset),
            f"Learning rates {', '.join(f'{lr:g}' for lr in LEARNING_RATES)}; each norm is judged at its best, "
            "so that BN is not compared with a network that merely has the wrong learning rate.",
            f"Target: {preset.target:.0%} test accuracy with running statistics, looked at every "
            + ", ".join(f"{network.eval_every} steps ({network.model})" for network in preset.networks)
            + ".",
        )
        if preset.figure_1_steps:
            lines += (
                f"Figure 1 of the paper: ioffe_mlp, {preset.figure_1_steps:,} steps at learning rate "
                f"{_FIGURE_1_LR:g} with and without BN, the whole test set, and the 15th, 50th and 85th "
                "percentile of the input of one sigmoid of the last hidden layer. Greyscale pixels, where "
                "the paper has binary ones.",
            )
        return lines

    def runs(self, preset: Preset) -> tuple[RunConfig, ...]:
        return learning_rate_sweep(preset) + _figure_1_runs(preset)

    def judge(self, preset: Preset, runs: Sequence[Run]) -> Judgement:
        ratios: list[list[float]] = []
        resolutions: list[float] = []
        effects: list[Effect] = []
        figures: list[Figure] = []
        for network in preset.networks:
            own = select(runs, model=network.model, steps=network.steps)
            plain, bn = _at_best(own, "none", preset.target), _at_best(own, "batch", preset.target)
            ratios.append(_ratios(plain, bn, preset.target))
            resolutions.append(_resolution(plain, preset.target) * _resolution(bn, preset.target))
            effects.append(_effect(network.model, plain, bn, preset.target))
            figures.append(_accuracy_figure(network.model, network.model, {"batch": bn, "none": plain}))
        shown = [effect.low > 1 for effect in effects]
        parts = [
            f"{times(effect)} as many on {network.model}"
            for effect, network in zip(effects, preset.networks, strict=True)
        ]
        sentence = (
            f"Steps to {preset.target:.0%}, each at its best learning rate: without BN "
            + ", ".join(parts)
            + f"; the interval lies above 1 on {sum(shown)} of {len(shown)} networks."
        )
        overall = geometric_effect(
            f"all networks: {_EFFECT}",
            "times",
            over_networks(geometric_mean, ratios),
            bounds_among([effect.note for effect in effects], [network.model for network in preset.networks]),
            resolution=geometric_mean(resolutions),
        )
        if preset.figure_1_steps:
            own = select(runs, steps=preset.figure_1_steps)
            groups = {norm: select(own, norm=norm) for norm in ("batch", "none")}
            effects.append(_effect("figure 1", groups["none"], groups["batch"], preset.target))
            figures += _figure_1(groups)
        return Judgement(all_or_some(shown), sentence, (overall, *effects), tuple(figures))


def _reached(run: Run, target: float) -> int | None:
    """The step of the evaluation that saw the target reached; None where none did.

    Step 0, before any training, counts as the first evaluation after it: no steps have no ratio.
    """
    step = next((point.step for point in run.points if point.test_accuracy >= target), None)
    return None if step is None else max(step, run.config.eval_every)


def _until(run: Run, target: float) -> float:
    """Steps until the target, to the middle between two evaluations; or all of them."""
    step = _reached(run, target)
    return run.config.steps if step is None else step - run.config.eval_every / 2


def _resolution(runs: Sequence[Run], target: float) -> float:
    """The factor that the evaluations leave open in the steps of these runs, which differ in their seeds.

    A whole budget was not read off them.
    """
    reached = [step for run in runs if (step := _reached(run, target)) is not None]
    if not reached:
        return 1.0
    step = geometric_mean(reached)
    return step / (step - runs[0].config.eval_every / 2)


def _at_best(runs: Sequence[Run], norm: str, target: float) -> list[Run]:
    """The runs at the learning rate that reaches the target soonest, of equals the most accurate ones."""
    by_rate = [select(runs, norm=norm, lr=lr) for lr in LEARNING_RATES]
    return min(
        by_rate,
        key=lambda group: (
            geometric_mean(_until(run, target) for run in group),
            -sum(final_accuracy(run) for run in group),
        ),
    )


def _ratios(plain: Sequence[Run], bn: Sequence[Run], target: float) -> list[float]:
    return [_until(a, target) / _until(b, target) for a, b in zip(plain, bn, strict=True)]


def _effect(name: str, plain: Sequence[Run], bn: Sequence[Run], target: float) -> Effect:
    return geometric_effect(
        f"{name}: {_EFFECT}",
        "times",
        _ratios(plain, bn, target),
        _note(plain, bn, target),
        resolution=_resolution(plain, target) * _resolution(bn, target),
    )


def _note(plain: Sequence[Run], bn: Sequence[Run], target: float) -> str:
    note = f"learning rate {plain[0].config.lr:g} without BN, {bn[0].config.lr:g} with"
    for norm, group, bound in (("none", plain, LOWER), ("batch", bn, UPPER)):
        missed = sum(_reached(run, target) is None for run in group)
        if missed:
            note += f"; {missed} of {len(group)} {LABEL[norm]} never got there: {bound}"
    return note


def _accuracy_figure(name: str, title: str, groups: dict[str, list[Run]]) -> Figure:
    rates = {norm: group[0].config.lr for norm, group in groups.items()}
    return Figure(
        name=f"fewer-steps-{name}",
        title=f"{title}: test accuracy while training",
        caption="Mean over seeds; the band spans the lowest and the highest seed.",
        x_label="steps",
        y_label="test accuracy",
        y_percent=True,
        series=tuple(
            curve_series(f"{LABEL[norm]}, learning rate {rates[norm]:g}", group, STYLE[norm])
            for norm, group in groups.items()
        ),
    )


def _figure_1_runs(preset: Preset) -> tuple[RunConfig, ...]:
    if not preset.figure_1_steps:
        return ()
    return tuple(
        RunConfig(
            model="ioffe_mlp",
            data=preset.data,
            norm=norm,
            steps=preset.figure_1_steps,
            batch_size=BATCH_SIZE,
            lr=_FIGURE_1_LR,
            seed=seed,
            eval_every=preset.figure_1_steps // 100,
            measures=("input_percentiles",),
        )
        for norm in ("batch", "none")
        for seed in preset.seeds
    )


def _figure_1(groups: dict[str, list[Run]]) -> list[Figure]:
    figures = [_accuracy_figure("figure-1", "Figure 1a of the paper, ioffe_mlp", groups)]
    for norm in ("none", "batch"):
        first = groups[norm][0]
        figures.append(
            Figure(
                name=f"percentiles-{norm}",
                title=f"Figure 1{'b' if norm == 'none' else 'c'} of the paper: what a sigmoid gets, {LABEL[norm]}",
                caption="Percentiles over the test set of the input of unit 0 of the last hidden layer, seed "
                f"{first.config.seed}.",
                x_label="steps",
                y_label="input of the sigmoid",
                series=tuple(
                    curve_series(
                        f"{percent}th percentile",
                        [first],
                        style,
                        lambda run, i=i: [point.measured["input_percentiles"][i] for point in run.points],
                    )
                    for i, (percent, style) in enumerate(((15, NONE), (50, STYLE["batch"]), (85, 2)))
                ),
            )
        )
    return figures
