"""Runs by what they were asked for, and their numbers as series with their spread over seeds."""

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

from normwise.records import Result, Run, Series

#: Styles of the report: the same number looks the same in every figure.
BATCH, NONE, RECOMPUTED, GROUP, LAYER, RECURRENT, UNMASKED = range(7)
STYLE = {
    "batch": BATCH,
    "none": NONE,
    "group": GROUP,
    "layer": LAYER,
    "recurrent_batch": RECURRENT,
    "batch_unmasked": UNMASKED,
}
LABEL = {
    "batch": "with BN",
    "none": "without BN",
    "group": "GroupNorm",
    "layer": "LayerNorm",
    "recurrent_batch": "BN within the recurrence",
    "batch_unmasked": "BN over padding, too",
}


def gains(better: Sequence[Run], worse: Sequence[Run], value: Callable[[Run], float]) -> list[float]:
    """By how many percentage points a value of some runs is above that of others, for each seed."""
    return [100 * (value(one) - value(other)) for one, other in zip(better, worse, strict=True)]


def select(runs: Sequence[Run], **wanted: Any) -> list[Run]:
    """The runs whose configuration (or network option) has these values, in the order of their seeds."""
    chosen = [run for run in runs if all(_field(run, name) == value for name, value in wanted.items())]
    return sorted(chosen, key=lambda run: run.config.seed)


def _field(run: Run, name: str) -> Any:
    return getattr(run.config, name) if hasattr(run.config, name) else run.config.options.get(name)


def result(run: Run) -> Result:
    """The run's result; a claim is only judged when all its runs have one."""
    if run.result is None:
        raise ValueError(f"run {run.config.key} has not ended")
    return run.result


#: What a reader of averaged accuracies must know.
DIVERGED = "A run that diverged has outputs that are not numbers, so no sample right: it counts as 0%."


def final_accuracy(run: Run) -> float:
    """Test accuracy after the last step."""
    return result(run).test_accuracy


def spread(
    label: str,
    x: tuple[float, ...] | tuple[str, ...],
    runs: Sequence[Sequence[Run]],
    value: Callable[[Run], float],
    style: int,
) -> Series:
    """One point an ``x``: the mean over its runs (a run a seed), between the lowest and the highest."""
    values = [[value(run) for run in group] for group in runs]
    return _series(label, x, values, style)


def curve(
    label: str, runs: Sequence[Run], style: int, value: Callable[[Run], Sequence[float]] | None = None
) -> Series:
    """Test accuracy, or another sequence of the runs' points, over steps; as far as all runs went.

    A run that diverged ends with a point between those of the others: the curve ends before it.
    """
    value = value or (lambda run: [point.test_accuracy for point in run.points])
    steps = zip(*([point.step for point in run.points] for run in runs), strict=False)
    common = [same[0] for same in takewhile(lambda of_runs: len(set(of_runs)) == 1, steps)]
    values = list(zip(*(value(run) for run in runs), strict=False))[: len(common)]
    return _series(label, tuple(float(step) for step in common[: len(values)]), values, style)


def _series(
    label: str, x: tuple[float, ...] | tuple[str, ...], values: Sequence[Sequence[float]], style: int
) -> Series:
    return Series(
        label=label,
        x=x,
        y=tuple(sum(group) / len(group) for group in values),
        low=tuple(min(group) for group in values),
        high=tuple(max(group) for group in values),
        style=style,
    )
