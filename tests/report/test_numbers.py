import math

import pytest

from normwise.report.numbers import duration, number, position, quantity, spread, without_exponents

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


def test_durations_have_a_unit_that_fits() -> None:
    assert [duration(s) for s in (42.0, 90.0, 9150.0)] == ["42.0 s", "1.50 min", "2.54 h"]


def test_exponents_are_written_as_people_write_them() -> None:
    text = without_exponents("4.88e-18 [4.18e-18, 1e6], 3 failed, -4e-5")
    assert text == "4.88 × 10⁻¹⁸ [4.18 × 10⁻¹⁸, 1 × 10⁶], 3 failed, -4 × 10⁻⁵"
    assert without_exponents("v1e5: 0.31 [0.29, 0.34]") == "v1e5: 0.31 [0.29, 0.34]"
