"""Sentences that tell a verdict in plain words."""

from typing import get_args

import pytest

from normwise.records import Bilingual, Case, Effect, Verdict
from normwise.studies import Claim, all_claims, preset_named

_CLAIMS = [claim for claim in all_claims() if claim.group == "reasons"]
_MOST_WORDS = 42


def _case(estimate: float, unit: str) -> Case:
    effect = Effect("effect", unit, estimate, estimate - 0.4, estimate + 0.6, 0.95, 5)
    return Case("case", Bilingual("a network", "网络"), "recurrent", effect, 1.25, "open")


@pytest.mark.parametrize("claim", _CLAIMS, ids=lambda claim: claim.name)
def test_takeaways_are_short_and_differ_by_verdict(claim: Claim) -> None:
    plans = claim.cases(preset_named("full"), lambda search: search.rates[0])
    cases = [_case(1.5 + number, plan.unit) for number, plan in enumerate(plans)]
    takeaways = [claim.takeaway(found, cases) for found in get_args(Verdict)]
    assert max(len(takeaway.en.split()) for takeaway in takeaways) <= _MOST_WORDS
    assert len({takeaway.zh for takeaway in takeaways}) == len(takeaways)
