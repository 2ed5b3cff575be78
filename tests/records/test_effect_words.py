"""Effects in words: no number that a reader can't use."""

import math

import pytest

from normwise.records import (
    Bilingual,
    Case,
    Effect,
    case_words,
    effect_words,
    interval_words,
    range_words,
    short,
    size_words,
)

NAN = math.nan


def _effect(unit: str, estimate: float, low: float, high: float, *, note: str = "", seeds: int = 5) -> Effect:
    return Effect("e", unit, estimate, low, high, 0.95, seeds, note)


def _case(effect: Effect, *, smallest: float = 1.0, exact: bool = False) -> Case:
    return Case("c", Bilingual("a network", "网络"), "dense", effect, smallest, "shown", exact)


@pytest.mark.parametrize(
    ("effect", "en", "zh"),
    [
        (_effect("times", 4.31, 3.07, 6.02), "4.3 times (3.1 to 6)", "4.3 倍（3.1 至 6）"),
        (_effect("times", 1.0134, 0.9143, 1.1233), "about the same (0.91 to 1.1 times)", "大致相同（0.91 至 1.1 倍）"),
        (_effect("decades", 0.0, 0.0, 0.0), "the same", "相同"),
        (_effect("times", 2.0, 1.99995, 2.00005), "2 times", "2 倍"),
        (_effect("times", 1091.2, 928.1, 1283.1), "1,100 times (930 to 1,300)", "1,100 倍（930 至 1,300）"),
        (_effect("times", 6.93e5, 1e3, 4e6), "690,000 times (1,000 to 4 million)", "69 万倍（1,000 至 400 万）"),
        (_effect("times", 1.62e6, 1e6, 1.2e8), "1.6 million times (1 million to 120 million)",
         "160 万倍（100 万 至 1.2 亿）"),
        (_effect("decades", 15.4, 15.2, 15.5), "over 1,000 trillion times", "1000 万亿倍以上"),
        (_effect("times", 2e-5, 1e-6, 0.5), "1/50,000 times (1/1 million to 0.5)", "1/50,000 倍（1/100 万 至 0.5）"),
        (_effect("decades", 2.0, 1.0, 3.0), "100 times (10 to 1,000)", "100 倍（10 至 1,000）"),
        (_effect("percentage points", 12.34, -1.0, 25.0), "+12.3 points (−1.0 to +25.0)",
         "+12.3 个百分点（−1.0 至 +25.0）"),
        (_effect("percentage points", -0.04, -1.24, 1.16), "about 0 points (−1.2 to +1.2)",
         "约 0 个百分点（−1.2 至 +1.2）"),
        (_effect("percentage points", 6.82e-16, 0.0, -1e-9), "about 0 points", "约 0 个百分点"),
        (_effect("percentage points", 0.0, 0.0, 0.0), "0 points", "0 个百分点"),
        (_effect("%", 0.18501, 0.18501, 0.18501), "0.19%", "0.19%"),
        (_effect("% of the samples", 3.12, 2.64, 3.6), "3.1% of the samples (2.6 to 3.6)", "3.1% 的样本（2.6 至 3.6）"),
        (_effect("", 1.2e-9, 0.0, 2.0), "almost 0 (0 to 2)", "几乎 0（0 至 2）"),
        (_effect("times", 27.0, 9.0, 40.0, note="2 never got there: a lower bound"),
         "at least 27 times (9 to 40)", "至少 27 倍（9 至 40）"),
        (_effect("times", 27.0, 9.0, 40.0, note="a lower bound and an upper bound"),
         "27 times (9 to 40)", "27 倍（9 至 40）"),
    ],
)  # fmt: skip
def test_effects_have_units_and_no_exponents(effect: Effect, en: str, zh: str) -> None:
    assert effect_words(effect) == Bilingual(en, zh)


@pytest.mark.parametrize(
    ("effect", "en"),
    [
        (_effect("times", 2.9, 2.1, math.inf), "2.1 or more"),
        (_effect("percentage points", 2.9, -math.inf, 3.0), "+3.0 or less"),
        (_effect("times", 2.9, NAN, NAN), "no interval"),
        (_effect("times", 2.9, NAN, NAN, seeds=1), "one seed"),
    ],
)
def test_ends_that_are_not_there(effect: Effect, en: str) -> None:
    assert interval_words(effect).en == en


def test_an_identity_holds_to_rounding_or_says_by_how_much_it_does_not() -> None:
    held = _case(_effect("percentage points", 6.82e-16, 6.82e-16, 6.82e-16), smallest=1e-9, exact=True)
    failed = _case(_effect("percentage points", 3.0, 3.0, 3.0), smallest=1e-9, exact=True)
    assert case_words(held).en == "no difference beyond rounding"
    assert case_words(failed).en == "a difference of +3.0 points"
    # Of several the worst speaks for all.
    assert range_words([held, failed, held]).en == "a difference of +3.0 points"


def test_several_cases_have_the_span_of_their_estimates() -> None:
    cases = [_case(_effect("times", value, value / 2, value * 2)) for value in (3.0, 2.2, 6.71)]
    assert range_words(cases) == Bilingual("2.2 to 6.7 times", "2.2 至 6.7 倍")
    assert range_words(cases[:1]).en == "3 times (1.5 to 6)"
    assert range_words([cases[0], cases[0]]).en == "3 times"
    assert range_words([]).en == "nothing was measured"
    other = _case(_effect("percentage points", 3.0, 2.0, 4.0))
    assert range_words([*cases, other]).en == "2.2 to 6.7 times; +3.0 points"


def test_a_span_leaves_out_what_is_not_measurable() -> None:
    cases = [_case(_effect("times", value, NAN, NAN)) for value in (1.1, NAN, 1.0)]
    assert range_words(cases).en == "1 to 1.1 times"
    assert range_words([cases[1], cases[1]]).en == "not measurable"


def test_a_span_says_which_of_its_ends_is_a_bound() -> None:
    lower = [_case(_effect("times", value, 2.0, math.inf, note="a lower bound")) for value in (160.0, 300.0)]
    upper = _case(_effect("times", 1.0, 0.0, 1.6, note="an upper bound"))
    known = _case(_effect("times", 160.0, 100.0, 200.0))
    assert range_words(lower) == Bilingual("at least 160 to at least 300 times", "至少 160 到至少 300 倍")
    assert range_words([upper, known]).en == "at most 1 to 160 times"
    assert range_words([known, lower[0]]).en == "at least 160 times"


def test_short_numbers_have_two_digits() -> None:
    assert [short(value) for value in (0.0, 0.01619, 4.26, 99.0, 12345.0)] == [
        "0",
        "0.016",
        "4.3",
        "99",
        "12,000",
    ]


def test_a_size_that_was_set_keeps_its_digits() -> None:
    sizes = [(1.25, "times"), (1.05, "times"), (1.0, "percentage points"), (0.5, "percentage points"),
             (0.5, "decades"), (10.0, "% of the samples")]  # fmt: skip
    assert [size_words(size, unit).en for size, unit in sizes] == [
        "1.25 times", "1.05 times", "1 point", "0.5 points", "3.2 times", "10% of the samples",
    ]  # fmt: skip
    assert size_words(1.25, "times").zh == "1.25 倍"
