"""Series of runs that did not all go the same way."""

import math

import pytest

from normwise.records import Environment, Point, Result, Run, RunConfig
from normwise.studies.judging.run_queries import select
from normwise.studies.judging.series import curve_series, spread_series


def _run(seed: int, steps: list[int], accuracy: float, *, diverged: bool = False, **options: float) -> Run:
    config = RunConfig("dense_bn", "digits", "batch", 100, 10, 0.1, seed, 10, options=options)
    points = tuple(Point(step, 1.0, 1.0, accuracy) for step in steps)
    return Run(config, Environment.here(), points, Result(steps[-1], diverged, accuracy, None))


def test_a_curve_is_the_mean_between_the_lowest_and_the_highest() -> None:
    series = curve_series("c", [_run(0, [0, 10], 0.2), _run(1, [0, 10], 0.6)], style=1)
    assert (series.x, series.style) == ((0.0, 10.0), 1)
    assert series.y == pytest.approx((0.4, 0.4))
    assert (series.low, series.high) == ((0.2, 0.2), (0.6, 0.6))


@pytest.mark.parametrize("diverged_first", [True, False])
def test_a_curve_ends_where_a_run_diverged(diverged_first: bool) -> None:
    runs = [_run(0, [0, 10, 13], 0.0, diverged=True), _run(1, [0, 10, 20, 30], 0.9)]
    series = curve_series("c", runs if diverged_first else runs[::-1], style=0)
    assert series.x == (0.0, 10.0)
    assert series.failed == (0, 1)


def test_a_point_a_position_has_its_own_runs() -> None:
    series = spread_series(
        "s", ("2", "4"), [[_run(0, [0], 0.5)], [_run(0, [0], 0.7)]], lambda run: run.config.lr, 0
    )
    assert (series.x, series.y) == (("2", "4"), (0.1, 0.1))


def test_runs_that_diverged_are_counted_and_not_averaged() -> None:
    lost = _run(1, [0], 0.0, diverged=True)
    groups = [[_run(0, [0], 0.5), lost], [lost, lost], [_run(0, [0], 0.7)]]
    series = spread_series("s", (0.1, 1.0, 3.0), groups, lambda run: run.points[-1].test_accuracy, 0)
    assert series.failed == (1, 2, 0)
    assert series.y == pytest.approx((0.5, math.nan, 0.7), nan_ok=True)
    assert spread_series("s", (3.0,), groups[2:], lambda run: 0.7, 0).failed == ()


def test_runs_are_selected_by_fields_and_options_in_the_order_of_seeds() -> None:
    runs = [_run(2, [0], 0, scale=3.0), _run(1, [0], 0, scale=3.0), _run(0, [0], 0)]
    assert [run.config.seed for run in select(runs, scale=3.0, model="dense_bn")] == [1, 2]
    assert select(runs, model="resnet") == []
