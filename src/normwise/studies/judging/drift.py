"""Drift of what activations get, from the moments that a run measured."""

import math
from itertools import pairwise
from statistics import fmean

from normwise.records import Run


def drift(run: Run) -> float:
    """Return how far what activations get moves from one evaluation to the next, on average."""
    return fmean(drifts(run))


def drifts(run: Run) -> list[float]:
    """Return how far it moves to each evaluation, from the one before."""
    moments = [point.measured["activation_moments"] for point in run.points]
    return [
        fmean(_distance(*layers) for layers in zip(before, after, strict=True))
        for before, after in pairwise(moments)
    ]


def _distance(before: dict[str, list[float]], after: dict[str, list[float]]) -> float:
    """Return the root mean square change of the units, in units of the layer's deviation."""
    moved = [
        (now - then) ** 2
        for part in ("mean", "deviation")
        for then, now in zip(before[part], after[part], strict=True)
    ]
    spread = fmean(value**2 for moments in (before, after) for value in moments["deviation"])
    units = len(before["mean"])
    return math.sqrt(sum(moved) / units / max(spread, 1e-30))
