"""A study in a terminal."""

import dataclasses
import io
import math

import pytest
from rich.console import Console

from normwise.records import Study
from normwise.report import study_table, study_text
from normwise.report.figures.forest.strip import HEADER


def _unbroken(text: str) -> str:
    return " ".join(text.split())


def test_it_has_the_forest_take_aways_and_machine(study: Study) -> None:
    text = study_text(study)
    for part in (
        HEADER,
        "✓ Yes",
        "✗ No, the contrary",
        "~ It depends: it holds for",
        "? Not enough data: needs",
    ):
        assert part in text
    assert "◄──────────────────●" in text
    unbroken = _unbroken(text)
    assert "it costs memory." in unbroken
    assert "What to do: Use it where it helps." in unbroken
    assert "at least 27 times (9 to 240), shown; 3 of 5 without BN never got there" in unbroken
    assert "Some Processor 9000" in text


def test_it_fits_80_columns_and_has_no_control_characters(study: Study) -> None:
    text = study_text(study)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert text.endswith("\n")


def test_it_does_not_depend_on_the_terminal(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    before = study_text(study)
    for name, value in {"COLUMNS": "40", "FORCE_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    assert study_text(study) == before


def test_a_table_in_a_terminal_is_the_same_words_in_colour(study: Study) -> None:
    file = io.StringIO()
    Console(file=file, width=80, force_terminal=True, color_system="standard").print(study_table(study))
    assert "\x1b[1;32m✓ Yes" in file.getvalue()
    # Markup of others is not taken for markup.
    assert "<b>bold</b>" in file.getvalue()


def test_the_clock_is_told_where_it_was_kept(study: Study) -> None:
    assert "Took       1.30 h by the clock" in study_text(study)
    assert "Took" not in study_text(dataclasses.replace(study, wall_seconds=math.nan))


def test_a_study_without_findings_is_still_a_text(study: Study) -> None:
    assert "0 claims tested on mnist" in _unbroken(study_text(dataclasses.replace(study, findings=())))
