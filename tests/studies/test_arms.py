"""Numbers that are read off the evaluations of a run."""

from dataclasses import replace

import pytest

from normwise.records import RunConfig
from normwise.studies.arms import accuracy_at_end
from tests.support.studies.pretended_runs import pretended_run

_CONFIG = RunConfig("dense_bn", "digits", "batch", 20, 20, 0.1, 0, 5)


def test_the_accuracy_at_the_end_is_that_of_three_evaluations() -> None:
    run = pretended_run(_CONFIG, accuracy=0.9, dips_to=0.6)
    assert accuracy_at_end(run) == pytest.approx(0.8)


def test_an_evaluation_before_any_training_is_none_of_them() -> None:
    run = pretended_run(replace(_CONFIG, eval_every=20), accuracy=0.9, reaches=20)
    assert [point.test_accuracy for point in run.points] == [0.1, 0.9]
    assert accuracy_at_end(run) == 0.9


def test_of_a_run_that_diverged_the_last_counts() -> None:
    assert accuracy_at_end(pretended_run(_CONFIG, accuracy=0.9, dips_to=0.6, diverged=True)) == 0.9
