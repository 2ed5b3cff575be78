"""Words and rows of the doctor's findings on a page."""

import dataclasses
import math

import pytest

from normwise.records import Examination, ProbeOutcome
from normwise.report.views import examination_view as view
from tests.support.reports import shown_examination
from tests.support.reports.shown_examination import HOSTILE, finding, layer, symptom


@pytest.fixture
def sick() -> Examination:
    return shown_examination.sick()


def test_the_verdict_counts_the_findings(sick: Examination) -> None:
    assert view.verdict(sick) == "1 error, 1 warning and 1 note"
    assert view.verdict(dataclasses.replace(sick, findings=sick.findings[:1] * 2)) == "2 errors"
    assert view.verdict(dataclasses.replace(sick, findings=sick.findings[2:])) == "Healthy, with 1 note"
    assert view.verdict(shown_examination.healthy()) == "Healthy"
    assert view.verdict(dataclasses.replace(shown_examination.healthy(), checked=())) == "Nothing was checked"


def test_the_colour_is_that_of_the_worst(sick: Examination) -> None:
    assert view.worst_severity(sick) == "error"
    assert view.worst_severity(dataclasses.replace(sick, findings=sick.findings[2:])) == "healthy"
    assert view.worst_severity(dataclasses.replace(sick, findings=(), checked=())) == "info"


def test_the_summary(sick: Examination) -> None:
    assert view.examination_summary(sick) == "4 BN layers examined by 4 rules on 20 batches."
    assert view.examination_summary(shown_examination.of_model()) == "4 BN layers examined by 4 rules."


def test_evidence_is_a_row_for_each_layer(sick: Examination) -> None:
    first, second, third = view.cards(sick)
    assert first.places == "2 layers"
    assert first.header == ("Layer", "normalised values off by", "values per channel")
    assert first.rows == ((HOSTILE, "0.9 σ", "12,345"), ("stem.norm", "inf σ", "12,345"))
    assert second.header[1] == "About"
    assert second.rows == (("head.norm", HOSTILE, "0 σ", "12,345"),)
    assert third.header == ("Layer", "About")
    assert third.rows == (("the model", "the model"),)
    assert third.safety.startswith("manual")


def test_the_worst_layers_come_first_and_the_others_are_folded_away() -> None:
    (card,) = view.cards(shown_examination.large())
    assert (len(card.rows), len(card.more)) == (6, 94)
    assert card.places == "100 layers"


def test_what_a_layer_lacks_is_a_gap(sick: Examination) -> None:
    odd = dataclasses.replace(symptom(layer(0, 1.0)), evidence=())
    (card,) = view.cards(dataclasses.replace(sick, findings=(finding(symptom(layer(1, 2.0)), odd),)))
    assert card.rows[1][1:] == ("–", "–")


def test_bars_are_accuracy_and_loss(sick: Examination) -> None:
    accuracy, loss = view.bars(view.outcome_names(sick))
    assert accuracy.cells == (("42.0%", 0.42), ("97.0%", 0.97), ("98.0%", 0.98))
    assert loss.cells == (("2.31", 1.0), ("∞", 1.0), ("0.450", 0.1948))


def test_without_a_loss_the_bar_is_the_distance_of_the_outputs(sick: Examination) -> None:
    unknown = [
        ("a", ProbeOutcome(distance=1.5)),
        ("b", ProbeOutcome(distance=math.nan)),
        ("c", ProbeOutcome(distance=0.0)),
    ]
    (distance,) = view.bars(unknown)
    assert distance.cells == (("1.50 σ", 1.0), ("–", 0.0), ("0 σ", 0.0))
    assert view.bars([("a", ProbeOutcome())]) == ()


def test_a_loss_of_nothing_has_no_bar() -> None:
    (_, loss) = view.bars([("a", ProbeOutcome(0.0, 1.0)), ("b", ProbeOutcome(0.0, 1.0))])
    assert loss.cells == (("0", 0.0), ("0", 0.0))


def test_layers_name_their_findings(sick: Examination) -> None:
    rows = view.layer_rows(sick)
    assert [row[:2] for row in rows] == [
        ("stem.norm", "BN201"), (HOSTILE, "BN201"), ("head.norm", "BN501"), ("never.called", "–"),
    ]  # fmt: skip
    assert dict(zip(view.layer_header(sick), rows[1], strict=True))["Dead channels"] == "25%"
    assert set(rows[3][3:]) == {"–"}
    assert view.layer_header(shown_examination.of_model()) == ("Layer", "Findings", "Class")
    assert "Dead channels" not in view.layer_header(shown_examination.healthy())


def test_rules_are_listed_by_what_became_of_them(sick: Examination) -> None:
    assert view.rule_rows(sick) == (
        ("Found something", "BN101, BN201, BN501"),
        ("Found nothing", "BN202"),
        ("Not checked, they need the optimizer", "BN601, BN602"),
        ("Took", "1.25 s"),
    )
    assert view.rule_rows(shown_examination.of_model())[-1] == ("Took", "under 0.01 s")


def test_a_treatment_says_what_it_proved() -> None:
    treatment = shown_examination.treatment()
    assert view.treatment_verdict(treatment) == "Before: 1 error, 1 warning and 1 note. After: healthy"
    assert view.treatment_summary(treatment) == "Proven: accuracy in evaluation 42.0% before, 98.0% after."
    failed = dataclasses.replace(treatment, proven=False, reason="the loss grew")
    assert view.treatment_verdict(failed) == "1 error, 1 warning and 1 note; nothing was fixed"
    assert view.treatment_summary(failed) == "Not proven, so nothing was changed: the loss grew."
