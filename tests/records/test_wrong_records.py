"""Errors for files that are not records: where and why."""

from functools import reduce
from typing import Any

import pytest

from normwise.records import Point, Run, RunConfig, Series, Study, from_plain, to_plain

Path = tuple[str | int, ...]


def _changed(record: Any, path: Path, value: Any) -> Any:
    plain = to_plain(record)
    parent = reduce(lambda inner, step: inner[step], path[:-1], plain)
    parent[path[-1]] = value
    return plain


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("config", "steps"), 100.0, r"Run\.config\.steps: expected int, got 100\.0"),
        (("config", "steps"), True, r"Run\.config\.steps: expected int, got True"),
        (("config", "steps"), "100", r"Run\.config\.steps: expected int, got '100'"),
        (("config", "model"), 3, r"Run\.config\.model: expected str, got 3"),
        (("config", "lr"), "0.1", r"Run\.config\.lr: expected a number, got '0\.1'"),
        (("config", "lr"), True, r"Run\.config\.lr: expected a number, got True"),
        (("config", "optimizer"), "lion", r"Run\.config\.optimizer: expected one of .*'sgd', 'adam'.*'lion'"),
        (("config", "optimizer"), ["sgd"], r"Run\.config\.optimizer: expected one of .*got \['sgd'\]"),
        (("config", "train_samples"), 1.5, r"Run\.config\.train_samples: expected int, got 1\.5"),
        (("config", "train_samples"), False, r"Run\.config\.train_samples: expected int, got False"),
        (("config", "options"), [], r"Run\.config\.options: expected an object, got \[\]"),
        (("config", "options", "depth"), [20], r"Run\.config\.options\.depth: expected one of .*got \[20\]"),
        (("config", "measures"), "calibrated", r"Run\.config\.measures: expected a list, got 'calibrated'"),
        (("config", "measures"), ["a", 2], r"Run\.config\.measures\[1\]: expected str, got 2"),
        (("environment", "cores"), 2.0, r"Run\.environment\.cores: expected int, got 2\.0"),
        (("environment",), None, r"Run\.environment: expected an object, got None"),
        (("points",), {}, r"Run\.points: expected a list, got \{\}"),
        (("points", 1), [], r"Run\.points\[1\]: expected an object, got \[\]"),
        (("points", 1, "step"), "25", r"Run\.points\[1\]\.step: expected int, got '25'"),
        (("points", 0, "measured"), None, r"Run\.points\[0\]\.measured: expected an object, got None"),
        # Behind a "| None", too, the field is named.
        (("result", "steps"), None, r"Run\.result\.steps: expected int, got None"),
        (("result", "diverged"), 0, r"Run\.result\.diverged: expected bool, got 0"),
        (("result", "test_accuracy"), [], r"Run\.result\.test_accuracy: expected a number, got \[\]"),
        (("result", "batch_statistics_accuracy"), "high", r"Run\.result\.batch_statistics_accuracy: expected a num"),
        (("result",), "good", r"Run\.result: expected an object, got 'good'"),
    ],
)  # fmt: skip
def test_a_value_of_another_type(run: Run, path: Path, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        from_plain(Run, _changed(run, path, value))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("findings", 0, "verdict"), "perhaps", r"Study\.findings\[0\]\.verdict: expected one of"),
        (("findings", 0, "further", 1, "seeds"), 3.0, r"Study\.findings\[0\]\.further\[1\]\.seeds: expected int"),
        (("findings", 0, "cases", 0, "outcome"), "so", r"Study\.findings\[0\]\.cases\[0\]\.outcome: expected one"),
        (("findings", 0, "brief", "kind"), "loss", r"Study\.findings\[0\]\.brief\.kind: expected one of"),
        (("findings", 0, "seeds", 2), True, r"Study\.findings\[0\]\.seeds\[2\]: expected int, got True"),
        (
            ("findings", 0, "figures", 0, "series", 1, "x"),
            ["batch", 1.0],
            r"Study\.findings\[0\]\.figures\[0\]\.series\[1\]\.x: expected one of",
        ),
        (("findings", 0, "figures", 0, "lines"), 1, r"Study\.findings\[0\]\.figures\[0\]\.lines: expected bool"),
    ],
)  # fmt: skip
def test_deep_in_a_study(study: Study, path: Path, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        from_plain(Study, _changed(study, path, value))


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ((), "Run"),
        (("config",), r"Run\.config"),
        (("points", 1), r"Run\.points\[1\]"),
        (("result",), r"Run\.result"),
    ],
)
def test_an_unknown_field(run: Run, path: Path, where: str) -> None:
    with pytest.raises(ValueError, match=rf"^{where}: expected fields \[.*\], got \['colour'\]$"):
        from_plain(Run, _changed(run, (*path, "colour"), "blue"))


@pytest.mark.parametrize(
    ("path", "where"),
    [
        (("config",), "Run"),
        (("result",), "Run"),  # a None must be written, too
        (("config", "lr"), r"Run\.config"),
        (("points", 1, "test_loss"), r"Run\.points\[1\]"),
        (("result", "diverged"), r"Run\.result"),
    ],
)
def test_a_missing_field(run: Run, path: Path, where: str) -> None:
    plain = to_plain(run)
    del reduce(lambda inner, step: inner[step], path[:-1], plain)[path[-1]]
    with pytest.raises(ValueError, match=rf"^{where}: misses the fields \['{path[-1]}'\]$"):
        from_plain(Run, plain)


@pytest.mark.parametrize("value", [None, [], "text", 3, True])
def test_what_is_no_object_is_no_record(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^Point: expected an object, got "):
        from_plain(Point, value)


@pytest.mark.parametrize(("value", "kind"), [(True, bool), (1, int), (1.0, float), ("1", str)])
def test_an_option_keeps_its_type(config: RunConfig, value: Any, kind: type) -> None:
    read = from_plain(RunConfig, to_plain(config) | {"options": {"option": value}})
    assert type(read.options["option"]) is kind


def test_a_whole_number_will_do_for_a_float(config: RunConfig) -> None:
    # As other programs write 1.0.
    assert type(from_plain(RunConfig, to_plain(config) | {"lr": 1}).lr) is float


@pytest.mark.parametrize("lengths", [(2, 1, 0, 0), (1, 2, 0, 0), (2, 2, 1, 2), (2, 2, 2, 3), (0, 0, 1, 0)])
def test_a_series_has_a_value_for_each_position(lengths: tuple[int, ...]) -> None:
    x, y, low, high = ([1.0] * length for length in lengths)
    with pytest.raises(
        ValueError, match=rf"Series: expected as many values and bounds as the {lengths[0]} positions"
    ):
        from_plain(Series, {"label": "line", "x": x, "y": y, "low": low, "high": high})


@pytest.mark.parametrize(("x", "kind"), [([1, 2.5], float), (["a", "b"], str)])
def test_positions_are_all_numbers_or_all_names(x: list[Any], kind: type) -> None:
    series = from_plain(Series, {"label": "line", "x": x, "y": [1.0, 2.0]})
    assert [type(position) for position in series.x] == [kind, kind]
