import math

import pytest

from normwise.report.figures.forest.axis import is_beyond, place


@pytest.mark.parametrize(
    ("position", "expected"),
    [(0, 0), (1, 1 / 3), (-0.5, -1 / 6), (10, 2 / 3), (-100, -1), (5000, 1), (-math.inf, -1)],
)
def test_the_middle_is_linear_and_the_rest_logarithmic(position: float, expected: float) -> None:
    assert place(position) == pytest.approx(expected)


def test_what_is_off_the_axis_is_known() -> None:
    assert [is_beyond(position) for position in (100, -101, math.inf, math.nan)] == [False, True, True, False]
    assert math.isnan(place(math.nan))
