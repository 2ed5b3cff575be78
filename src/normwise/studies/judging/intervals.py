"""Confidence intervals over seeds."""

import math
import sys
from collections.abc import Callable, Sequence

import numpy as np

from normwise.records import Effect
from normwise.studies.judging.student import quantile

LEVEL = 0.95


def mean_effect(
    name: str, unit: str, values: Sequence[float], note: str = "", *, resolution: float = 0.0
) -> Effect:
    r"""Return the mean over seeds with its Student interval, :math:`\bar v \pm t_{n-1} s / \sqrt n`.

    ``s`` has Bessel's correction. One value alone has no interval: its ends are NaN. Values that were read
    off a grid can agree to the last digit and yet be as uncertain as the grid is coarse: ``resolution``,
    half a step of it, widens the interval on both sides.
    """
    mean, half = student(values)
    half += resolution
    return Effect(name, unit, mean, mean - half, mean + half, LEVEL, len(values), note)


def geometric_effect(
    name: str, unit: str, values: Sequence[float], note: str = "", *, resolution: float = 1.0
) -> Effect:
    """Return the geometric mean over seeds, for ratios and values that span orders of magnitude.

    Its interval is Student's for the logarithms; ``resolution`` is a factor here, see :func:`mean_effect`.
    A value too small for float64 to tell from nothing
    counts as float64's epsilon.
    """
    mean, half = student([math.log(max(value, sys.float_info.epsilon)) for value in values])
    half += math.log(resolution)
    ends = (math.exp(mean), math.exp(mean - half), math.exp(mean + half))
    return Effect(name, unit, *ends, LEVEL, len(values), note)


def over_networks(
    average: Callable[[Sequence[float]], float], values: Sequence[Sequence[float]]
) -> list[float]:
    """Per seed, the average over networks of values that are given per network and seed."""
    return [average(of_seed) for of_seed in zip(*values, strict=True)]


def student(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and half the width of Student's interval, NaN where there is none."""
    n = len(values)
    if n < 2 or not all(map(math.isfinite, values)):
        return math.fsum(values) / n, math.nan
    t = quantile(n - 1, 0.5 + LEVEL / 2)
    return float(np.mean(values)), t * float(np.std(values, ddof=1)) / math.sqrt(n)
