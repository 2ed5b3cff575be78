"""The doctor's pages as HTML."""

import json
import re
from itertools import pairwise

import pytest

from normwise.report import examination_page, treatment_page
from normwise.report.figures.examination_figures import examination_figures
from tests.support.reports import shown_examination
from tests.support.reports.html_reader import Reader
from tests.support.reports.shown_examination import HOSTILE

_PAGES = {
    "sick": lambda: examination_page(shown_examination.sick()),
    "healthy": lambda: examination_page(shown_examination.healthy()),
    "model": lambda: examination_page(shown_examination.of_model()),
    "large": lambda: examination_page(shown_examination.large()),
    "treatment": lambda: treatment_page(shown_examination.treatment()),
}


@pytest.fixture(scope="module", params=_PAGES)
def reader(request: pytest.FixtureRequest) -> Reader:
    return Reader(_PAGES[request.param]())


@pytest.fixture(scope="module")
def sick() -> Reader:
    return Reader(_PAGES["sick"]())


def _text(reader: Reader) -> str:
    return " ".join("".join(reader.english).split())


def test_a_page_is_well_formed(reader: Reader) -> None:
    levels = [int(tag[1]) for tag, _ in reader.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = reader.all("id")
    assert len(ids) == len(set(ids))
    assert set(reader.all("aria-labelledby")) <= set(ids)
    assert reader.all("src") == []


def test_hostile_text_is_text(sick: Reader) -> None:
    assert HOSTILE in "".join(sick.text)
    assert "b" not in [tag for tag, _ in sick.elements]


def test_a_finding_has_everything(sick: Reader) -> None:
    text = _text(sick)
    for part in (
        "✗ error 2 layers BN201 stale-statistics The running statistics are not those of the data.",
        "Costs evaluation loss 2.31; with exact statistics 0.45",
        "normalised values off by",
        "Fix safe: normwise can apply it and prove it normwise.calibrate(model, loader)",
        "normwise explain BN201",
        "! warning",
        "i note",
    ):
        assert part in text


def test_figures_have_their_data_as_json_and_as_tables(sick: Reader) -> None:
    figures = examination_figures(shown_examination.sick())
    drawn = [json.loads(script) for script in sick.scripts if script.startswith("{")]
    assert len(drawn) == len(figures) == 4
    assert [len(one["traces"]) for one in drawn] == [2, 2, 2, 1]
    assert sum("Chart: " in label for label in sick.all("aria-label")) == 4


def test_a_page_of_a_model_alone_has_no_figures_and_is_small() -> None:
    page = _PAGES["model"]()
    assert len(page) < 50_000
    assert "Layer by layer" not in page
    assert "No rule found anything." in page


def test_all_layers_of_a_large_model_are_there() -> None:
    page = _PAGES["large"]()
    for number in (0, 250, 499):
        assert f"stages.{number // 50}.blocks.{number % 50}.norm" in page
    assert "94 more, none worse" in page


def test_a_treatment_shows_its_fixes() -> None:
    text = " ".join(" ".join(Reader(_PAGES["treatment"]()).english).split())
    assert "BN201 stale-statistics applied statistics of 4 of 4 layers replaced" in text
    assert "its fix is unsafe: see the finding" in text
    assert "Findings before" in text


def test_the_same_record_gives_the_same_bytes() -> None:
    assert _PAGES["sick"]() == _PAGES["sick"]()
