"""Outcomes of effects of which a budget has shown a bound only."""

from normwise.studies.judging.bounds import Unseen
from normwise.studies.judging.outcomes import CaseValues, outcome, seeds_needed, verdict

_LARGE, _SMALL = [8.0, 9.0, 8.5, 9.5, 9.0], [0.1, 0.2, 0.0, 0.1, 0.2]
_SEEN, _ABOVE, _BELOW = Unseen(), Unseen(above=True), Unseen(below=True)


def _case(values: list[float], one: Unseen) -> CaseValues:
    return CaseValues(values, 1.0, unseen=[one, *[_SEEN] * (len(values) - 1)])


def test_what_is_at_least_so_large_is_shown_and_never_refuted() -> None:
    assert outcome(_case(_LARGE, _ABOVE)) == "shown"
    assert outcome(_case(_SMALL, _ABOVE)) == "open"
    assert outcome(_case([-value for value in _LARGE], _ABOVE)) == "open"


def test_what_is_at_most_so_large_is_refuted_and_never_shown() -> None:
    assert outcome(_case(_SMALL, _BELOW)) == "refuted"
    assert outcome(_case(_LARGE, _BELOW)) == "open"
    assert outcome(_case([-value for value in _LARGE], _BELOW)) == "reversed"


def test_no_number_of_seeds_takes_a_bound_further() -> None:
    assert seeds_needed(_case([0.0, 1.5, 0.2, 0.9, 0.4], _SEEN)) is not None
    assert seeds_needed(_case([0.0, 1.5, 0.2, 0.9, 0.4], _ABOVE)) is None


def test_a_bound_of_one_seed_goes_with_that_seed() -> None:
    cases = [_case(_SMALL, _ABOVE)]
    assert outcome(cases[0].without(0)) == "refuted"
    assert outcome(cases[0].without(1)) == "open"
    assert verdict(cases) == "undecided"
    assert verdict([_case(_LARGE, _BELOW), _case(_SMALL, _SEEN)]) == "undecided"
