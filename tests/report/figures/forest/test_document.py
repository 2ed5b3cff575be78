"""The forest plot as a file."""

import dataclasses
import re
from xml.etree import ElementTree

from normwise.records import Study
from normwise.report import forest_svg
from normwise.report.figures.forest import marks
from tests.support.reports.made_claim import case

_SVG = "{http://www.w3.org/2000/svg}"


def test_it_is_whole_and_the_same_each_time(study: Study) -> None:
    text = forest_svg(study)
    assert text == forest_svg(study)
    root = ElementTree.fromstring(text)
    words = " ".join("".join(node.itertext()) for node in root.iter(f"{_SVG}text"))
    for finding in study.findings:
        assert finding.statement.en.split(":")[0][:30] in words
    for part in ("Does it train better?", "tutorials are wrong ←", "✓ Yes, exactly", "it costs memory."):
        assert part in words
    assert not list(root.iter(f"{_SVG}script"))
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_each_case_has_a_mark_of_its_outcome(study: Study) -> None:
    text = forest_svg(study)
    cases = [one for finding in study.findings for one in finding.cases if not one.exact]
    for outcome in ("shown", "refuted", "reversed", "open"):
        expected = sum(one.outcome == outcome for one in cases)
        legend = sum(outcome == one for one in ("shown", "open", "open", "open", "open", "open", "refuted"))
        assert len(re.findall(rf'<g class="{outcome}"', text)) == expected + legend


def test_outcomes_differ_without_colour() -> None:
    shown, hollow, crossed = (marks.shape("dense", outcome, 0, 0) for outcome in ("shown", "open", "refuted"))
    assert 'class="shown"' in shown
    assert 'class="cross"' in crossed
    assert 'class="cross"' not in hollow + shown
    assert (
        len({marks.shape(family, "open", 0, 0) for family in ("dense", "convolution", "recurrent", "deep")})
        == 4
    )


def test_whiskers_that_leave_the_axis_end_in_arrows() -> None:
    inside = marks.marks((case("open", (1.5, 1.1, 2.0)),))
    outside = marks.marks((case("open", (1.5, 1e-20, 2.0)),))
    assert "l-6" not in inside
    assert "l-6 3l6 3" in outside
    assert f"M{marks.x_of(-1000)} " in outside


def test_a_study_without_claims_is_still_a_picture(study: Study) -> None:
    ElementTree.fromstring(forest_svg(dataclasses.replace(study, findings=())))
