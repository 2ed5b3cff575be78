import math

import pytest

from normwise.records import Case, Outcome
from normwise.report.figures.forest.strip import COLUMNS, HEADER, strip
from tests.support.reports.made_claim import case


def _points(outcome: Outcome, *ends: float) -> Case:
    return case(outcome, ends, unit="percentage points", smallest=1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (_points("shown", 10, 3, 60), "       ······ ├─●──┤"),
        (_points("open", 0.2, -0.9, 2), "       ├──○───┤     "),
        (_points("refuted", 0.2, -0.9, 0.9), "       ├──✗─┤       "),
        (_points("reversed", -10, -500, -3), "◄──✗─┤ ······       "),
        (_points("open", 3, -math.inf, math.inf), "◄─────────────○────►"),
        (_points("open", 3, math.nan, math.nan), "       ······ ○     "),
        (_points("open", math.nan, math.nan, math.nan), "       ······       "),
        (case("shown", (0, 0, 0), exact=True), "       ······   ✓   "),
        (case("refuted", (9, 9, 9), exact=True), "   ✗   ······       "),
    ],
)
def test_a_case_is_drawn_in_twenty_characters(shown: Case, expected: str) -> None:
    assert strip(shown) == expected
    assert len(strip(shown)) == len(HEADER) == COLUMNS
