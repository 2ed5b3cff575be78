import dataclasses

from normwise.records import ProcessSpan, Result, Run
from normwise.report import run_text


def _unbroken(text: str) -> str:
    return " ".join(text.split())


def test_plain_text_fits_80_columns_and_has_no_control_characters(run: Run) -> None:
    text = run_text(run)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert text.endswith("\n")


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


def test_a_run_whose_loss_rose_has_diverged(run: Run) -> None:
    assert "Diverged:" not in run_text(run)
    first, *others, last = run.points
    risen = dataclasses.replace(
        run, points=(dataclasses.replace(first, test_loss=2.0), *others, dataclasses.replace(last, loss=2.5))
    )
    assert "Diverged: the training loss rose from 2.00 to 2.50. Finished 1000 steps" in _unbroken(
        run_text(risen)
    )


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
