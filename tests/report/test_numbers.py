import math

import pytest

from normwise.records import Effect
from normwise.report import effect_text
from normwise.report.numbers import duration, interval, levels, number, position, quantity, spread

NAN = math.nan


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1.00"),
        (12.345, "12.3"),
        (999.6, "1000"),
        (100.0, "100"),
        (12345.0, "12345"),
        (0.5, "0.500"),
        (-0.0123456, "-0.0123"),
        (1.234e-7, "1.23e-7"),
        (-4.5e9, "-4.50e9"),
        (NAN, "–"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
    ],
)
def test_three_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (2000.0, "2000"),
        (0.003, "0.003"),
        (1e-05, "1e-5"),
        (2.5e-6, "2.5e-6"),
        ("a", "a"),
        (NAN, "–"),
    ],
)
def test_positions_have_no_padding(value: float | str, text: str) -> None:
    assert position(value) == text


def test_spread_is_left_out_where_there_is_none() -> None:
    assert spread(0.31, 0.29, 0.34) == "0.310 [0.290, 0.340]"
    assert spread(0.31, NAN, NAN) == "0.310"
    assert spread(NAN, 0.1, 0.2) == "–"
    assert spread(0.5, NAN, 0.6, percent=True) == "50.0% [–, 60.0%]"
    assert quantity(NAN, percent=True) == "–"


@pytest.mark.parametrize(
    ("effect", "text"),
    [
        (Effect("", "times", 2.9, 2.1, 4.0, 0.95, 5), "2.90 times [2.10, 4.00]"),
        (
            Effect("", "percentage points", 12.34, -1.0, 25.0, 0.95, 5),
            "+12.3 percentage points [-1.00, +25.0]",
        ),
        (Effect("", "percentage points", 0.0, 0.0, 0.0, 0.95, 5), "0 percentage points [0, 0]"),
        (Effect("", "", 1.2e-7, 1.1e-7, 1.3e-7, 0.95, 5), "1.20e-7 [1.10e-7, 1.30e-7]"),
        (Effect("", "times", 2.9, NAN, NAN, 0.95, 1), "2.90 times (one seed)"),
        (Effect("", "times", 2.9, 2.1, NAN, 0.95, 5), "2.90 times [2.10, –]"),
    ],
)
def test_effects(effect: Effect, text: str) -> None:
    assert effect_text(effect) == text


def test_several_seeds_without_interval_are_not_called_one() -> None:
    assert interval(Effect("", "times", 2.9, NAN, NAN, 0.95, 3)) == "(no interval)"


def test_levels_name_each_once() -> None:
    effects = [Effect("", "", 1, 1, 1, level, 5) for level in (0.95, 0.9, 0.95, 0.999)]
    assert levels(effects) == "90% / 95% / 99.9%"
    assert levels([]) == ""


def test_durations_have_a_unit_that_fits() -> None:
    assert [duration(s) for s in (42.0, 90.0, 9150.0)] == ["42.0 s", "1.50 min", "2.54 h"]
