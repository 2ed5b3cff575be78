"""The headline and the order of a report."""

import dataclasses

from normwise.records import Bilingual, Study
from normwise.report.views import verdicts


def test_the_headline_says_what_it_buys_and_costs(study: Study) -> None:
    assert verdicts.headline(study) == Bilingual(
        "Batch normalization buys speed, depth and freedom from biases. It costs memory.",
        "批归一化带来速度、深度和省去偏置。代价是内存。",
    )
    assert [sentence.en for sentence in verdicts.beside_the_headline(study)] == [
        "It sometimes buys higher learning rates.",
        "It does not buy regularization.",
        "Not enough data on final accuracy.",
    ]


def test_claims_that_do_not_hold_buy_nothing(study: Study) -> None:
    refuted = tuple(dataclasses.replace(one, verdict="not supported") for one in study.findings)
    other = dataclasses.replace(study, findings=refuted)
    assert verdicts.headline(other).en == "Batch normalization: what tutorials say of it, put to the test"
    assert verdicts.to_do(other) == ()
    (sentence,) = verdicts.beside_the_headline(other)
    assert sentence.en.startswith("It does not buy speed, ")
    assert sentence.en.endswith("; it does not cost memory.")


def test_costs_alone_make_a_sentence(study: Study) -> None:
    cost = tuple(one for one in study.findings if one.claim == "cost")
    assert verdicts.headline(dataclasses.replace(study, findings=cost)) == Bilingual(
        "Batch normalization costs memory.", "批归一化的代价是内存。"
    )


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
