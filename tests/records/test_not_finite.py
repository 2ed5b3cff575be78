"""JSON has no NaN and no infinity: both become null, and null in a number's place NaN."""

import dataclasses
import json
import math
from typing import Any

import pytest

from normwise.records import Effect, Point, Result, Run, RunConfig, Series, from_plain, to_json, to_plain

NOT_FINITE = pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])


@NOT_FINITE
def test_they_are_written_as_null(value: float) -> None:
    assert to_json(Point(1, value, 0.5, 0.5)) == (
        '{"step": 1, "loss": null, "test_loss": 0.5, "test_accuracy": 0.5, "measured": {}}'
    )


@NOT_FINITE
def test_so_they_are_anywhere_in_what_was_measured(value: float) -> None:
    measured = {"a": [1.0, value], "b": {"c": (value,)}}
    assert to_plain(Point(1, 0.5, 0.5, 0.5, measured))["measured"] == {"a": [1.0, None], "b": {"c": [None]}}


@NOT_FINITE
def test_a_number_is_read_back_as_nan(value: float) -> None:
    point = from_plain(Point, json.loads(to_json(Point(1, value, value, 0.5))))
    assert math.isnan(point.loss)
    assert math.isnan(point.test_loss)
    assert point.test_accuracy == 0.5


@NOT_FINITE
def test_so_are_the_numbers_of_a_tuple(value: float) -> None:
    series = from_plain(Series, json.loads(to_json(Series("line", (1.0, value), (value, 2.0)))))
    assert [math.isnan(float(x)) for x in series.x] == [False, True]
    assert [math.isnan(y) for y in series.y] == [True, False]


@NOT_FINITE
def test_so_are_the_bounds_of_an_effect(value: float) -> None:
    effect = from_plain(Effect, json.loads(to_json(Effect("a", "", 1.0, value, value, 0.95, 1))))
    assert math.isnan(effect.low)
    assert math.isnan(effect.high)


def test_where_none_is_a_value_null_is_none() -> None:
    result = from_plain(Result, json.loads(to_json(Result(1, True, 0.1, None))))
    assert result.batch_statistics_accuracy is None


def test_a_run_without_a_result_has_none(run: Run) -> None:
    unfinished = dataclasses.replace(run, result=None)
    assert from_plain(Run, json.loads(to_json(unfinished))).result is None


@pytest.mark.parametrize("field", ["steps", "seed", "model", "optimizer", "options", "measures"])
def test_null_is_no_whole_number_text_object_or_list(config: RunConfig, field: str) -> None:
    plain: dict[str, Any] = to_plain(config) | {field: None}
    with pytest.raises(ValueError, match=rf"^RunConfig\.{field}: expected .*, got None"):
        from_plain(RunConfig, plain)
