"""Confidence intervals, against SciPy's own and by what they promise."""

import math

import numpy as np
import pytest
from scipy import stats

from normwise.studies.judging.intervals import LEVEL, geometric_effect, mean_effect

_VALUES = [3.0, 4.5, 2.0, 7.0]


def test_the_interval_of_a_mean_is_students() -> None:
    effect = mean_effect("x", "", _VALUES)
    low, high = stats.t.interval(LEVEL, len(_VALUES) - 1, loc=np.mean(_VALUES), scale=stats.sem(_VALUES))
    assert (effect.estimate, effect.low, effect.high) == pytest.approx((np.mean(_VALUES), low, high))
    assert effect.seeds == 4


def test_the_interval_of_ratios_is_the_one_of_their_logarithms() -> None:
    effect, logarithms = (
        geometric_effect("x", "times", _VALUES),
        mean_effect("x", "", [math.log(v) for v in _VALUES]),
    )
    assert (effect.estimate, effect.low, effect.high) == pytest.approx(
        tuple(math.exp(v) for v in (logarithms.estimate, logarithms.low, logarithms.high))
    )


@pytest.mark.parametrize("effect", [mean_effect, geometric_effect])
def test_one_seed_has_no_interval(effect) -> None:
    one = effect("x", "", [2.0])
    assert one.estimate == pytest.approx(2.0)
    assert math.isnan(one.low)
    assert math.isnan(one.high)


def test_nothing_at_all_counts_as_what_float64_cannot_tell_from_it() -> None:
    assert geometric_effect("x", "", [0.0, 0.0]).estimate == pytest.approx(np.finfo(float).eps)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    covered = [
        effect.low <= 5.0 <= effect.high
        for effect in (mean_effect("x", "", list(rng.normal(5.0, 2.0, 3))) for _ in range(2000))
    ]
    assert 0.93 < np.mean(covered) < 0.97
