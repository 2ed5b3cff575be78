"""Numbers of runs as series of a figure, with their spread over seeds."""

import math
from collections.abc import Callable, Sequence
from itertools import takewhile

from normwise.records import Run, Series


def spread_series(
    label: str,
    x: tuple[float, ...] | tuple[str, ...],
    runs: Sequence[Sequence[Run]],
    value: Callable[[Run], float],
    style: int,
) -> Series:
    """One point an ``x``: the mean over its runs (a run a seed), between the lowest and the highest.

    Runs that diverged are counted, and not averaged: their outputs are not numbers.
    """
    values = [[value(run) for run in group if not _diverged(run)] for group in runs]
    return _series(label, x, values, style, [sum(map(_diverged, group)) for group in runs])


def curve_series(
    label: str, runs: Sequence[Run], style: int, value: Callable[[Run], Sequence[float]] | None = None
) -> Series:
    """Test accuracy, or another sequence of the runs' points, over steps; as far as all runs went.

    A run that diverged ends with a point between those of the others: the curve ends before it, and counts it there.
    """
    value = value or (lambda run: [point.test_accuracy for point in run.points])
    steps = zip(*([point.step for point in run.points] for run in runs), strict=False)
    common = [same[0] for same in takewhile(lambda of_runs: len(set(of_runs)) == 1, steps)]
    values = list(zip(*(value(run) for run in runs), strict=False))[: len(common)]
    x = tuple(float(step) for step in common[: len(values)])
    at_the_end = [0] * (len(x) - 1) + [sum(map(_diverged, runs))]
    return _series(label, x, values, style, at_the_end if x else [])


def _series(
    label: str,
    x: tuple[float, ...] | tuple[str, ...],
    values: Sequence[Sequence[float]],
    style: int,
    failed: Sequence[int],
) -> Series:
    return Series(
        label=label,
        x=x,
        y=tuple(sum(group) / len(group) if group else math.nan for group in values),
        low=tuple(min(group, default=math.nan) for group in values),
        high=tuple(max(group, default=math.nan) for group in values),
        style=style,
        failed=tuple(failed) if any(failed) else (),
    )


def _diverged(run: Run) -> bool:
    return run.result is not None and run.result.diverged
