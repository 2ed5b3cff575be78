"""Networks with BN and without at every learning rate of a sweep, which several claims share."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from normwise.records import Bilingual, Figure, Run, RunConfig
from normwise.studies.arms import Runs
from normwise.studies.case_plan import CasePlan
from normwise.studies.judging.bounds import Unseen
from normwise.studies.judging.run_queries import final_accuracy
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import DIVERGED, LABEL, STYLE
from normwise.studies.judging.usable_range import SHARE, UsableRange, best_accuracy
from normwise.studies.networks import arm
from normwise.studies.preset import Network, Preset

T = TypeVar("T")

NORMS = ("batch", "none")
#: Accuracy that a network must reach at its best rate for its range of rates to mean anything, in points.
_LEARNS = 50.0
#: Closest where the highest usable ones lie, of most networks.
_RATES = (0.003, 0.0125, 0.05, 0.2, 0.4, 0.8, 1.6, 3.2, 12.8)
#: Optimiser steps and learning rates of each network. Left out are rates far beyond those at which either form trains.
_QUICK: dict[str, tuple[int, tuple[float, ...]]] = {
    "cnn_32": (45, _RATES[:7]),
    "cnn_32_dense": (60, _RATES[1:]),
    "deep_mlp": (90, (0.003, 0.0125, 0.05, 0.2, 0.8, 3.2, 12.8)),
}
_FULL: dict[str, tuple[int, tuple[float, ...]]] = {
    "dense_bn": (400, _RATES),
    "cnn_32": (150, _RATES[:8]),
    "cnn_32_dense": (150, _RATES),
    "cnn_32_pooled": (250, _RATES[:8]),
    "ioffe_mlp": (1000, (*_RATES[:8], 6.4, *_RATES[8:], 25.6)),
    "deep_mlp": (400, _RATES[:8]),
}
_GLOSSES = {
    "cnn_32": Bilingual("1 convolution read by the output", "1 层卷积直接接输出"),
    "cnn_32_dense": Bilingual("1 convolution and 1 dense layer", "1 层卷积加 1 层全连接"),
    "cnn_32_pooled": Bilingual("1 convolution averaged to 4×4 positions", "1 层卷积平均池化到 4×4"),
}
_OPTIONS: dict[str, dict[str, int]] = {
    "cnn_32": {},
    "cnn_32_dense": {"hidden": 128},
    "cnn_32_pooled": {"pooled": 4},
}


def swept_networks(preset: Preset) -> tuple[Network, ...]:
    """Return the networks of the sweep, with the steps of a run."""
    found: list[Network] = []
    for name, (steps, _) in preset.pick(quick=_QUICK, full=_FULL).items():
        if name in preset.networks:
            found.append(replace(preset.networks[name], steps=steps))
        else:
            found.append(
                Network(name, _GLOSSES[name], "convolution", "cnn_32", steps, 0.1, options=_OPTIONS[name])
            )
    return tuple(found)


def sweep(preset: Preset, network: Network) -> tuple[RunConfig, ...]:
    """Return a run with each rate, first all with BN, then all without."""
    # The end of a run is all that counts, and there are so many runs that evaluations on the way would cost much.
    evaluations = preset.pick(quick={}, full={"eval_every": network.steps})
    return tuple(
        arm(preset, network, norm, lr=rate, **evaluations)
        for norm in NORMS
        for rate in _rates(preset, network)
    )


def ranges(runs: Sequence[Run]) -> tuple[UsableRange, UsableRange]:
    """Return the usable rates of one seed's sweep, with BN and without."""
    bn, plain = (UsableRange.of([run.config.lr for run in half], half) for half in halves(runs))
    return bn, plain


def learns(preset: Preset, network: Network) -> CasePlan:
    """Return the control that the network learns at its best rate, with BN and without."""
    return CasePlan(
        f"{network.name} learns",
        Bilingual(f"{network.gloss.en} learns in both forms", f"{network.gloss.zh}两种形式都能学会"),
        network.family,
        sweep(preset, network),
        value=lambda *runs: 100 * min(map(best_accuracy, halves(runs))),
        effect="accuracy at the best rate, of the worse form",
        unit="percentage points",
        smallest=_LEARNS,
    )


def ends_without_bn(preset: Preset, network: Network) -> CasePlan:
    """Return the control that without BN the usable rates end within the sweep, on both sides."""

    def inside(*runs: Run) -> float:
        plain = ranges(runs)[1]
        return min(plain.low, len(plain.values) - 1 - plain.high)

    return CasePlan(
        f"{network.name} ends",
        Bilingual(
            f"the usable rates of {network.gloss.en} without BN end within the sweep",
            f"{network.gloss.zh}不用 BN 时可用学习率不超出扫描范围",
        ),
        network.family,
        sweep(preset, network),
        value=inside,
        effect="rates of the sweep that don't work, on the side with fewer",
        unit="rates",
        smallest=0.5,
    )


def sweep_sentences(preset: Preset) -> tuple[str, ...]:
    """Return the sweep as sentences of a protocol."""
    networks = "; ".join(
        f"{network.gloss.en} ({network.steps} steps) at "
        f"{', '.join(f'{rate:g}' for rate in _rates(preset, network))}"
        for network in swept_networks(preset)
    )
    return (
        "Plain SGD, batches of 60, each network with every seed at each of its learning rates; nothing is chosen: "
        f"{networks}. The ranges hold for these budgets: with more steps lower "
        "rates become usable, too, with BN and without.",
        f"A rate is usable where the run did not diverge and ended at {SHARE:.0%} or more of the best accuracy that "
        "the same form of the network, with BN or without, reached at any rate: the form that does worse has the lower "
        f"bar. The range is the stretch of usable rates around the best. Each form must reach {_LEARNS:.0f}% at its "
        "best rate, or nothing is concluded.",
    )


def range_note(runs: Sequence[Sequence[Run]], *, upper_only: bool) -> str:
    """Return where the ranges lie, and which go on beyond the sweep (or its upper end), of the runs of all arms."""
    of_seeds = [ranges(of_seed) for of_seed in zip(*runs, strict=True)]
    note: list[str] = []
    for index, norm in enumerate(NORMS):
        own = [pair[index] for pair in of_seeds]
        lowest, highest = min(one.values[one.low] for one in own), max(one.highest for one in own)
        note.append(f"{LABEL[norm]} usable from {lowest:g} to {highest:g}")
        ends = sorted({end for one in own for end in one.goes_on if not upper_only or end == one.values[-1]})
        if ends:
            bound = "a lower bound" if norm == "batch" else "an upper bound"
            note.append(
                f"it goes on beyond {' and '.join(f'{end:g}' for end in ends)}, the end of the sweep: {bound}"
            )
    return "; ".join(note)


def sweep_figures(preset: Preset, runs: Runs) -> tuple[Figure, ...]:
    """Return the accuracy over the learning rate, a figure for each network."""
    return tuple(
        _figure(network, [runs.of(arm) for arm in sweep(preset, network)])
        for network in swept_networks(preset)
    )


def _rates(preset: Preset, network: Network) -> tuple[float, ...]:
    return preset.pick(quick=_QUICK, full=_FULL)[network.name][1]


def _figure(network: Network, of_arms: Sequence[Sequence[Run]]) -> Figure:
    rates = tuple(runs[0].config.lr for runs in halves(of_arms)[0])
    return Figure(
        name=f"learning-rates-{network.name.replace('_', '-')}",
        title=f"{network.gloss.en}: test accuracy after training, by learning rate",
        caption=f"Mean over seeds; the band spans the lowest and the highest seed. {DIVERGED}",
        x_label="learning rate",
        y_label="test accuracy",
        x_log=True,
        y_percent=True,
        series=tuple(
            spread_series(LABEL[norm], rates, half, final_accuracy, STYLE[norm])
            for norm, half in zip(NORMS, halves(of_arms), strict=True)
        ),
    )


def unseen_rates(of_seed: Sequence[Run], *, upper_only: bool) -> Unseen:
    """Return what lies beyond the ends of the sweep (or its upper end) of a comparison with BN and without."""
    bn, plain = (one.goes_on_above if upper_only else bool(one.goes_on) for one in ranges(of_seed))
    return Unseen(below=plain, above=bn)


def open_by(of_seed: Sequence[Run], *, upper_only: bool) -> float:
    """Return how many decades a range of a seed may go on between rates of the sweep, of the form that may more.

    Each of its ends (or its upper end) lies anywhere between the last rate that works and the next one.
    """
    found = ranges(of_seed)
    return max(one.step_above + (0.0 if upper_only else one.step_below) for one in found)


def halves(sweep_of_both: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Return what belongs to the runs with BN, and what to those without."""
    middle = len(sweep_of_both) // 2
    return sweep_of_both[:middle], sweep_of_both[middle:]
