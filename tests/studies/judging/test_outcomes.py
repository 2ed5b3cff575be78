"""Outcomes of cases and verdicts on claims, on numbers whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normwise.records import Outcome, Verdict
from normwise.studies.judging.outcomes import CaseValues, outcome, seeds_needed, verdict

#: Five seeds of standard deviation 1 and mean 0: their 95% interval is 1.24 to either side.
_NOISE = np.array([-1.2, -0.6, 0.0, 0.6, 1.2])
_NOISE = _NOISE / _NOISE.std(ddof=1)


def _case(mean: float, deviation: float = 1.0, smallest: float = 1.0, resolution: float = 0.0) -> CaseValues:
    return CaseValues(list(mean + deviation * _NOISE), smallest, resolution)


@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        (2.3, "shown"), (2.2, "open"), (0.0, "open"), (-0.3, "refuted"), (-2.2, "refuted"), (-2.3, "reversed"),
    ],
)  # fmt: skip
def test_an_outcome_is_where_the_interval_lies(mean: float, expected: Outcome) -> None:
    assert outcome(_case(mean)) == expected


def test_what_the_evaluations_leave_open_widens_the_interval() -> None:
    assert outcome(_case(2.3)) == "shown"
    assert outcome(_case(2.3, resolution=0.1)) == "open"


@pytest.mark.parametrize("values", [[1.5], [1.5, float("nan"), 1.5], [1.5, float("inf"), 1.6]])
def test_without_an_interval_a_case_is_open(values: list[float]) -> None:
    assert outcome(CaseValues(values, 1.0)) == "open"


_SHOWN, _REFUTED, _REVERSED, _OPEN = _case(9.0), _case(-4.0, 0.5), _case(-9.0), _case(1.0)


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ([_SHOWN, _SHOWN], "supported"),
        ([_REFUTED, _REVERSED], "not supported"),
        ([_SHOWN, _REFUTED], "depends"),
        ([_SHOWN, _REVERSED, _OPEN], "depends"),
        ([_SHOWN, _OPEN], "undecided"),
        ([_REFUTED, _OPEN], "undecided"),
    ],
)
def test_a_verdict_follows_from_all_cases(cases: list[CaseValues], expected: Verdict) -> None:
    assert verdict(cases) == expected


def test_one_shown_case_among_many_must_bear_the_correction_for_their_number() -> None:
    barely = _case(2.5)
    assert outcome(barely) == "shown"
    assert verdict([barely, _REFUTED]) == "undecided"
    assert verdict([_case(5.0), _REFUTED]) == "depends"


def test_a_verdict_that_one_seed_carries_is_undecided() -> None:
    carried = _case(2.3)
    assert outcome(carried) == "shown"
    assert outcome(carried.without(4)) == "open"
    assert verdict([carried]) == "undecided"


def test_equal_values_have_no_spread() -> None:
    assert verdict([CaseValues([2.0] * 5, 1.0), CaseValues([0.5] * 5, 1.0)]) == "depends"


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=8), st.floats(0.1, 10))
def test_a_case_and_its_contrary_are_never_both_shown(values: list[float], smallest: float) -> None:
    contrary = [-value for value in values]
    outcomes = {outcome(CaseValues(values, smallest)), outcome(CaseValues(contrary, smallest))}
    assert outcomes in ({"shown", "reversed"}, {"refuted"}, {"open"}, {"open", "refuted"})


@given(st.permutations(range(4)))
def test_a_verdict_does_not_depend_on_the_order_of_cases(order: list[int]) -> None:
    cases = [_SHOWN, _REFUTED, _OPEN, _case(2.5)]
    assert verdict([cases[i] for i in order]) == verdict(cases)


def test_the_seeds_needed_decide_four_times_in_five() -> None:
    rng = np.random.default_rng(0)
    needed = seeds_needed(_case(1.5))
    assert needed is not None
    share = np.mean(
        [outcome(CaseValues(list(rng.normal(1.5, 1.0, needed)), 1.0)) == "shown" for _ in range(2000)]
    )
    assert share == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("case", [_case(1.0), _case(1.001), CaseValues([1.0, float("inf"), 2.0], 1.0)])
def test_what_a_thousand_seeds_do_not_decide_has_no_number(case: CaseValues) -> None:
    assert seeds_needed(case) is None
