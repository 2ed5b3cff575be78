"""Drift of what activations get, from the percentiles that a run measured."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from normwise.records import Run


def drift(run: Run) -> float:
    """Return how far what activations get moves from one evaluation to the next, on average; NaN where it diverged."""
    return fmean(drifts(run))


def drifts(run: Run) -> list[float]:
    """Return how far it moves to each evaluation, from the one before; NaN where a value of either is not finite."""
    of_points = [point.measured["activation_percentiles"] for point in run.points]
    return [
        fmean(_distance(*layers) for layers in zip(before, after, strict=True))
        for before, after in pairwise(of_points)
    ]


def _distance(
    before: Mapping[str, Sequence[float | None]], after: Mapping[str, Sequence[float | None]]
) -> float:
    """Return the root mean square change of the units' percentiles, in units of the layer's deviation."""
    then, now, deviations = (
        _numbers(values)
        for values in (
            before["percentiles"],
            after["percentiles"],
            [*before["deviation"], *after["deviation"]],
        )
    )
    moved = fmean((new - old) ** 2 for old, new in zip(then, now, strict=True))
    variance = fmean(deviation**2 for deviation in deviations)
    return math.sqrt(moved / max(variance, 1e-30))


def _numbers(values: Sequence[float | None]) -> list[float]:
    """Return values as a run keeps them, with NaN for those that were not finite."""
    return [math.nan if value is None else value for value in values]
