"""A record that was written as JSON is read back as it was."""

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from normwise.records import (
    Effect,
    Environment,
    Figure,
    HeatMap,
    Point,
    Result,
    Run,
    RunConfig,
    Series,
    Study,
    from_plain,
    to_json,
    to_plain,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
option = st.booleans() | st.integers() | finite | st.text()
measured = st.dictionaries(
    st.text(),
    st.recursive(
        st.none() | option, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=4
    ),
    max_size=3,
)


def tuples(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=3).map(tuple)


configs = st.builds(RunConfig, lr=finite, options=st.dictionaries(st.text(), option, max_size=3))
environments = st.builds(Environment)
points = st.builds(Point, loss=finite, test_loss=finite, test_accuracy=finite, measured=measured)
results = st.builds(
    Result, test_accuracy=finite, batch_statistics_accuracy=st.none() | finite, measured=measured
)
runs = st.builds(
    Run,
    config=configs,
    environment=environments,
    points=tuples(points),
    result=st.none() | results,
    threads=st.none() | st.integers(),
    data_sha256=st.none() | st.text(),
)


@st.composite
def _series(draw: st.DrawFn) -> Series:
    count = draw(st.integers(0, 3))

    def values(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
        return st.tuples(*[items] * count)

    bounds = st.just(()) | values(finite)
    x = draw(values(finite) | values(st.text()))
    failed = draw(st.just(()) | values(st.integers()))
    return Series(
        draw(st.text()), x, draw(values(finite)), draw(bounds), draw(bounds), draw(st.integers()), failed
    )


series = _series()
figures = st.builds(Figure, series=tuples(series))
heat_maps = st.builds(HeatMap, x=tuples(finite), rows=tuples(st.text()), values=tuples(tuples(finite)))
effects = st.builds(Effect, estimate=finite, low=finite, high=finite, level=finite)

# Equal values of other types, such as 1, 1.0 and True, have other reprs.


@given(record=configs | environments | points | results | series | figures | heat_maps | effects)
@settings(max_examples=150, deadline=None)
def test_of_each_record(record: Any) -> None:
    assert repr(from_plain(type(record), json.loads(to_json(record)))) == repr(record)


@given(run=runs, indent=st.sampled_from([None, 1, 2]))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_of_a_whole_run(run: Run, indent: int | None) -> None:
    assert repr(from_plain(Run, json.loads(to_json(run, indent=indent)))) == repr(run)


def test_of_a_run_with_something_in_every_field(run: Run) -> None:
    assert repr(from_plain(Run, json.loads(to_json(run)))) == repr(run)


def test_of_a_study_with_something_in_every_field(study: Study) -> None:
    assert repr(from_plain(Study, json.loads(to_json(study)))) == repr(study)


@given(config=st.builds(RunConfig))
@settings(max_examples=50, deadline=None)
def test_text_is_stable_whatever_the_numbers(config: RunConfig) -> None:
    text = to_json(config)  # NaN and infinity among them
    assert to_json(from_plain(RunConfig, json.loads(text))) == text


def test_fields_may_be_left_out_that_have_a_default(config: RunConfig) -> None:
    least = {
        name: value
        for name, value in to_plain(config).items()
        if name in {"model", "data", "norm", "steps", "batch_size", "lr", "seed", "eval_every"}
    }
    read = from_plain(RunConfig, least)
    assert (read.optimizer, read.dtype, read.options, read.measures) == ("sgd", "float32", {}, ())
    assert (read.train_samples, read.test_samples) == (None, None)


def test_a_run_of_before_threads_and_data_were_kept_is_read(run: Run) -> None:
    old = {name: value for name, value in to_plain(run).items() if name not in ("threads", "data_sha256")}
    read = from_plain(Run, old)
    assert (read.result, read.threads, read.data_sha256) == (run.result, None, None)


def test_a_study_of_before_the_clock_was_kept_is_read(study: Study) -> None:
    old = {name: value for name, value in to_plain(study).items() if name != "wall_seconds"}
    read = from_plain(Study, old)
    assert read.findings == study.findings
    assert math.isnan(read.wall_seconds)


def test_fields_are_written_in_their_order(config: RunConfig) -> None:
    assert list(json.loads(to_json(config)))[:4] == ["model", "data", "norm", "steps"]


def test_text_is_written_as_it_is(study: Study) -> None:
    assert "Accuracy – by step" in to_json(study)


@pytest.mark.parametrize(("low", "high"), [(3.0, math.inf), (-math.inf, 3.0), (1.0, 2.0)])
def test_an_interval_that_is_open_at_one_end_stays_so(low: float, high: float) -> None:
    effect = Effect("effect", "times", 2.5, low, high, 0.95, 5)
    assert from_plain(Effect, json.loads(to_json(effect))) == effect
