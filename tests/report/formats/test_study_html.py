"""The page of a study, as a file."""

import dataclasses
import re
from itertools import pairwise

import pytest

from normwise.records import Study
from normwise.report import study_page
from tests.support.reports import shown_study
from tests.support.reports.html_reader import Reader


@pytest.fixture(scope="module")
def page(study: Study) -> str:
    return study_page(study)


@pytest.fixture(scope="module")
def reader(page: str) -> Reader:
    return Reader(page)


def test_hostile_text_is_text(reader: Reader) -> None:
    assert 'no <b>bold</b>, no |pipe|, no "quote" & no </script><script>throw 1</script>' in "".join(
        reader.text
    )
    assert "b" not in [tag for tag, _ in reader.elements]
    # The only script remembers the language.
    assert len(reader.scripts) == 1
    assert "normwise-language" in reader.scripts[0]


def test_nothing_is_fetched(reader: Reader) -> None:
    assert reader.all("src") == []
    links = [(tag, attrs["href"] or "") for tag, attrs in reader.elements if "href" in attrs]
    assert {tag for tag, href in links if href.startswith("http")} == {"a"}
    assert all(href.startswith(("https://", "#", "data:")) for _, href in links)


def test_links_within_the_page_lead_somewhere(reader: Reader) -> None:
    ids = reader.all("id")
    assert len(ids) == len(set(ids))
    assert {href[1:] for href in reader.all("href") if href.startswith("#")} <= set(ids)
    assert set(reader.all("aria-labelledby")) <= set(ids)


def test_both_languages_are_there(study: Study, reader: Reader) -> None:
    languages = reader.all("lang")
    assert languages.count("zh-Hans") > 20
    text = "".join(reader.text)
    for finding in study.findings:
        for part in (finding.statement, finding.takeaway, finding.advice):
            assert part.en in text
            assert part.zh in text


def test_the_first_screen_has_headline_things_to_do_and_verdicts(reader: Reader) -> None:
    text = " ".join("".join(reader.text).split())
    first, rest = text.split("A picture a claim")[0], text.split("A picture a claim")[1]
    for part in (
        "it costs memory.", "Fold it before you deploy", "It does not buy regularization.", "tutorials are wrong ←",
        "✓ Yes", "~ It depends", "· it holds for 3 sigmoid layers", "1.4 to 2.2 times", "needs about 38 seeds",
        "5 of them revised",
    ):  # fmt: skip
        assert part in first
    for part in (
        "Fixed on 2026-11-27, before its runs.",
        "The first rule knew plain SGD only.",
    ):
        assert part in rest


def test_rules_numbers_and_sources_are_folded_away(reader: Reader, study: Study) -> None:
    folded = [attrs for tag, attrs in reader.elements if tag == "details" and attrs.get("class") == "method"]
    assert len(folded) == len(study.findings)
    assert all("open" not in attrs for attrs in folded)


def test_each_figure_is_drawn_with_its_data_as_a_table(study: Study, reader: Reader) -> None:
    figures = [figure for finding in study.findings for figure in finding.figures]
    first = [finding for finding in study.findings if finding.figures]
    assert sum(label.startswith("Chart: ") for label in reader.all("aria-label")) == len(figures) + len(first)
    assert sum(attrs.get("class") == "data" for _, attrs in reader.elements) == len(figures)


def test_each_case_is_told_to_those_who_can_not_see_it(reader: Reader) -> None:
    labels = " ".join(reader.all("aria-label"))
    assert "20 layers: at least 27 times (9 to 240), shown" in labels


def test_headings_leave_no_level_out(reader: Reader) -> None:
    levels = [int(tag[1]) for tag, _ in reader.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_same_study_gives_the_same_bytes(study: Study, page: str) -> None:
    assert study_page(study) == page


def test_fifty_claims_make_less_than_a_megabyte_and_a_half() -> None:
    assert len(study_page(shown_study.large_study()).encode()) < 1_500_000


def test_a_study_with_nothing_in_it_is_still_a_page(study: Study) -> None:
    bare = dataclasses.replace(
        study.findings[0], cases=(), figures=(), sources=(), says=(), protocol=(), seeds=(), brief=None
    )
    assert "ours" in "".join(Reader(study_page(dataclasses.replace(study, findings=(bare,)))).text)
    Reader(study_page(dataclasses.replace(study, findings=())))
