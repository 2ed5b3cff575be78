import math
from itertools import pairwise

from normwise.report.figures.chart.simplify import path, simplified


def test_points_on_a_straight_line_are_left_out() -> None:
    assert simplified([(float(x), 2.0 * x) for x in range(100)]) == [(0.0, 0.0), (99.0, 198.0)]


def test_a_curve_moves_by_less_than_can_be_seen() -> None:
    curve = [(x / 4, 100 * math.exp(-x / 200)) for x in range(800)]
    fewer = simplified(curve)
    assert len(fewer) < 40
    for x, y in curve:
        (left, right) = next((a, b) for a, b in pairwise(fewer) if a[0] <= x <= b[0])
        between = left[1] + (right[1] - left[1]) * (x - left[0]) / (right[0] - left[0])
        assert abs(between - y) < 0.6


def test_a_spike_stays() -> None:
    places = [(float(x), 50.0 if x == 31 else 0.0) for x in range(100)]
    assert (31.0, 50.0) in simplified(places)


def test_few_points_are_as_they_are() -> None:
    assert [simplified(places) for places in ([], [(1.0, 2.0)], [(1.0, 2.0), (1.0, 2.0)])] == [
        [], [(1.0, 2.0)], [(1.0, 2.0), (1.0, 2.0)],
    ]  # fmt: skip
    assert path([(1.0, 2.5), (3.0, 4.0)]) == "M1 2.5L3 4"
