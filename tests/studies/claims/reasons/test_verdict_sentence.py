"""Sentences that tell a verdict in plain words."""

from typing import get_args

import pytest

from normwise.records import Bilingual, Case, Effect, Verdict
from normwise.studies import Claim, all_claims, preset_named
from normwise.studies.claims.reasons.verdict_sentence import verdict_sentence

_CLAIMS = [claim for claim in all_claims() if claim.group == "reasons"]
_MOST_WORDS = 35


def _case(estimate: float, unit: str) -> Case:
    effect = Effect("effect", unit, estimate, estimate - 0.4, estimate + 0.6, 0.95, 5)
    return Case("case", Bilingual("a network", "网络"), "recurrent", effect, 1.25, "open")


def test_the_verdict_comes_first_and_then_the_span_of_all_cases() -> None:
    said: dict[Verdict, Bilingual] = {"depends": Bilingual("It depends", "视情况而定")}
    found = verdict_sentence(
        "depends", said, Bilingual("Steps", "步数"), [_case(2, "times"), _case(4, "times")]
    )
    assert found.en == "It depends. Steps: 2 to 4 times."
    assert found.zh.startswith("视情况而定。步数：2 至 4")


@pytest.mark.parametrize("claim", _CLAIMS, ids=lambda claim: claim.name)
def test_takeaways_are_short_and_differ_by_verdict(claim: Claim) -> None:
    plans = claim.cases(preset_named("full"), lambda search: search.rates[0])
    cases = [_case(1.5 + number, plan.unit) for number, plan in enumerate(plans)]
    takeaways = [claim.takeaway(found, cases) for found in get_args(Verdict)]
    assert max(len(takeaway.en.split()) for takeaway in takeaways) <= _MOST_WORDS
    assert len({takeaway.zh for takeaway in takeaways}) == len(takeaways)
