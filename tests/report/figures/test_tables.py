import math

import pytest

from normwise.records import Figure, Series
from normwise.report.figures.tables import evenly, figure_table


def _figure(*series: Series) -> Figure:
    return Figure("f", "A figure", "", "x", "y", series)


def test_rows_are_sorted_and_series_with_other_positions_fit_in() -> None:
    table = figure_table(
        _figure(Series("a", (3.0, 1.0), (30.0, 10.0)), Series("b", (2.0, 3.0), (0.5, math.nan)))
    )
    assert table.header == ("x", "a", "b")
    assert table.rows == (("1", "10.0", ""), ("2", "", "0.500"), ("3", "30.0", "–"))


def test_points_at_one_position_stand_in_one_cell() -> None:
    assert figure_table(_figure(Series("a", (1.0, 1.0), (1.0, 2.0)))).rows == (("1", "1.00; 2.00"),)


def test_categories_keep_their_order() -> None:
    table = figure_table(_figure(Series("a", ("z", "a"), (1.0, 2.0)), Series("b", ("m",), (3.0,))))
    assert [row[0] for row in table.rows] == ["z", "a", "m"]


def test_a_figure_without_series_has_no_rows() -> None:
    assert figure_table(_figure()).rows == ()


@pytest.mark.parametrize(("total", "most"), [(13, 12), (41, 12), (1000, 12), (24, 12)])
def test_thinning_keeps_the_ends_and_repeats_nothing(total: int, most: int) -> None:
    kept = evenly(total, most)
    assert len(set(kept)) == most
    assert (kept[0], kept[-1]) == (0, total - 1)


def test_nothing_is_thinned_that_fits() -> None:
    assert evenly(12, 12) == tuple(range(12))
    assert evenly(3, None) == (0, 1, 2)
