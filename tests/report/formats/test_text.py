import dataclasses
import io
import math

import pytest
from rich.console import Console

from normwise.records import ProcessSpan, Result, Run, Study
from normwise.report import run_text, study_table, study_text


def _unbroken(text: str) -> str:
    return " ".join(text.split())


def test_study_text_has_verdicts_effects_and_machine(study: Study) -> None:
    text = study_text(study)
    assert "✓ supported" in text
    assert "✗ not supported" in text
    assert "~ depends" in text
    assert "2.90 times [2.10, 4.00]" in text
    assert "5.12 times (one seed); One seed did not get there" in _unbroken(text)
    assert "95% confidence interval over seeds" in text
    assert "Some Processor 9000" in text


def test_plain_text_fits_80_columns_and_has_no_control_characters(study: Study, run: Run) -> None:
    for text in (study_text(study), run_text(run)):
        assert max(map(len, text.splitlines())) <= 80
        assert "\x1b" not in text
        assert text.endswith("\n")


def test_plain_text_does_not_depend_on_the_terminal(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    before = study_text(study)
    for name, value in {"COLUMNS": "40", "FORCE_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    assert study_text(study) == before


def test_table_in_a_terminal_is_the_same_words_in_colour(study: Study) -> None:
    file = io.StringIO()
    Console(file=file, width=80, force_terminal=True, color_system="standard").print(study_table(study))
    assert "\x1b[1;32m✓ supported" in file.getvalue()
    # Brackets are not taken for markup.
    assert "[2.10, 4.00]" in file.getvalue()


def test_run_text_thins_the_evaluations_and_says_so(run: Run) -> None:
    text = run_text(run)
    assert "12 of 41 evaluations" in text
    assert "Finished 1000 steps at 97.9% test accuracy." in text
    assert run.config.key in text


def test_runs_that_did_not_finish_say_so(run: Run) -> None:
    assert "Not finished: 1000 of 1000 steps" in run_text(dataclasses.replace(run, result=None))
    assert "Not finished: 0 of 1000 steps" in run_text(dataclasses.replace(run, result=None, points=()))
    diverged = dataclasses.replace(run, result=Result(40, True, 0.098, None))
    assert "Diverged after 40 of 1000 steps" in run_text(diverged)
    assert "batch statistics" not in run_text(diverged)


def test_the_clock_is_told_where_it_was_kept(study: Study) -> None:
    assert "Took       1.30 h by the clock" in study_text(study)
    assert "Took" not in study_text(dataclasses.replace(study, wall_seconds=math.nan))


def test_threads_and_data_of_a_run_are_told_where_they_were_kept(run: Run) -> None:
    assert "Threads              –" in run_text(run)
    kept = run_text(dataclasses.replace(run, threads=2, data_sha256="0123abcd"))
    assert "Threads              2" in kept
    assert "SHA-256 of the data  0123abcd" in kept


def test_the_processes_of_a_run_are_told_where_there_were_several(run: Run) -> None:
    assert "Processes" not in run_text(run)
    spans = (ProcessSpan(0, 4, 1), ProcessSpan(120, 2, 2))
    text = _unbroken(run_text(dataclasses.replace(run, processes=spans)))
    assert "4 from step 0, 1 thread each; 2 from step 120, 2 threads each" in text
    assert "Statistics over processes synchronised" in text


def test_a_study_without_findings_is_still_a_text(study: Study) -> None:
    assert "0 claims to the test: none." in _unbroken(study_text(dataclasses.replace(study, findings=())))
