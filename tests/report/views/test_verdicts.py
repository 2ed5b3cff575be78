"""The headline and the order of a report."""

import dataclasses
from typing import get_args

import pytest

from normwise.records import Bilingual, Brief, Study, Verdict
from normwise.report.views import verdicts
from normwise.studies.find_claims import all_claims
from tests.support.reports import shown_study
from tests.support.reports.made_claim import claim


def test_the_headline_says_what_it_buys_and_costs(study: Study) -> None:
    assert verdicts.headline(study) == Bilingual(
        "Batch normalization buys speed, depth and freedom from biases; it costs memory.",
        "批归一化带来速度、深度和省去偏置；代价是内存。",
    )
    assert [sentence.en for sentence in verdicts.beside_the_headline(study)] == [
        "It depends on the network whether it buys higher learning rates.",
        "It does not buy regularization.",
        "Not enough data on final accuracy.",
    ]


def _of(outcomes: dict[str, Verdict]) -> Study:
    """Return a study of the gains and costs named, each with its verdict."""
    made = [
        dataclasses.replace(
            claim(name, "training", (f"{name}.", f"{name}。"), verdict, ()),
            brief=Brief("cost" if name in ("memory", "time") else "gain", Bilingual(name, name.upper())),
        )
        for name, verdict in outcomes.items()
    ]
    return dataclasses.replace(shown_study.study(), findings=tuple(made))


@pytest.mark.parametrize(
    ("outcomes", "headline", "beside"),
    [
        ({"speed": "supported"}, "Batch normalization buys speed.", ()),
        ({"memory": "supported"}, "Batch normalization costs memory.", ()),
        (
            {"speed": "undecided", "range": "depends", "accuracy": "not supported", "memory": "supported",
             "time": "supported"},
            "Batch normalization costs memory and time; what it buys depends on the network.",
            ("It depends on the network whether it buys range.", "It does not buy accuracy.",
             "Not enough data on speed."),
        ),
        (
            {"speed": "undecided", "accuracy": "not supported", "memory": "supported", "time": "depends"},
            "Batch normalization costs memory; there are not enough data on what it buys.",
            ("It depends whether it costs time.", "It does not buy accuracy.", "Not enough data on speed."),
        ),
        (
            {"speed": "not supported", "range": "not supported", "memory": "supported", "time": "not supported"},
            "Batch normalization costs memory; of what it is said to buy nothing was found.",
            ("It does not buy speed or range; it does not cost time.",),
        ),
        (
            {"a": "supported", "b": "supported", "c": "supported", "d": "supported", "e": "supported",
             "memory": "supported"},
            "Batch normalization buys a, b and c; it costs memory.",
            ("It also buys d and e.",),
        ),
        (
            {"speed": "undecided", "memory": "undecided"},
            "Batch normalization: what tutorials say of it, put to the test",
            ("Not enough data on speed and memory.",),
        ),
    ],
)  # fmt: skip
def test_a_headline_claims_only_what_holds(
    outcomes: dict[str, Verdict], headline: str, beside: tuple[str, ...]
) -> None:
    study = _of(outcomes)
    assert verdicts.headline(study).en == headline
    assert tuple(sentence.en for sentence in verdicts.beside_the_headline(study)) == beside


@pytest.mark.parametrize("verdict", get_args(Verdict))
def test_the_claims_briefs_make_sentences(verdict: Verdict) -> None:
    made = shown_study.study().findings[0]
    briefs = [one.brief for one in all_claims() if one.brief is not None]
    assert 8 <= len(briefs) <= 12
    for brief in briefs:
        assert not brief.do.en.endswith(".")
        assert bool(brief.do.en) == bool(brief.do.zh)
    findings = tuple(dataclasses.replace(made, brief=brief, verdict=verdict) for brief in briefs)
    study = dataclasses.replace(shown_study.study(), findings=findings)
    sentences = [verdicts.headline(study), *verdicts.beside_the_headline(study)]
    for brief in briefs:
        assert any(brief.words.en in sentence.en and brief.words.zh in sentence.zh for sentence in sentences)
    assert bool(verdicts.to_do(study)) == (verdict == "supported")


def test_a_long_statement_is_shortened_to_what_it_explains(study: Study) -> None:
    of = dataclasses.replace(
        study.findings[0], statement=Bilingual("BN shifts inputs: " + "so and so " * 9, "长")
    )
    assert verdicts.row_name(of) == Bilingual("BN shifts inputs.", "长")
    assert verdicts.row_name(study.findings[0]) == study.findings[0].statement


def test_groups_have_yes_first_and_what_is_undecided_last(study: Study) -> None:
    groups = verdicts.groups(study)
    assert [group for group, _, _ in groups] == ["training", "generalisation", "use", "reasons"]
    order = list(verdicts.SYMBOLS)
    for _, _, findings in groups:
        places = [order.index(finding.verdict) for finding in findings]
        assert places == sorted(places)
    assert sum(len(findings) for _, _, findings in groups) == len(study.findings)


def test_a_verdict_has_its_reason(study: Study) -> None:
    words = {finding.claim: verdicts.verdict_words(finding) for finding in study.findings}
    assert words["higher-rates"] == Bilingual(
        "It depends: it holds for 3 sigmoid layers", "视情况而定：对 3 层 sigmoid 网络成立"
    )
    assert words["final"].en == "Not enough data: needs about 38 seeds"
    assert words["medical"].en == "No, the contrary"
    assert words["bias"].en == "Yes, exactly"
    assert words["normal"].en == "No, exactly"


def test_an_identity_holds_or_does_not(study: Study) -> None:
    cases = {finding.claim: finding.cases[0] for finding in study.findings}
    assert verdicts.outcome_words(cases["bias"]).en == "holds exactly"
    assert verdicts.outcome_words(cases["normal"]).en == "does not hold"
    assert verdicts.outcome_words(cases["medical"]).en == "the contrary"
