"""``normwise train``: the folder that a run gets, what is said while it goes and at its end, and its optimisers."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command

_SHORT = ("train", "image", "--model", "dense_bn", "--epochs", "1", "--threads", "1", "--batch-size", "400")
_NAME = "runs/dense_bn-digits-batch"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ((), "epochs1-batch400-seed0"),
        (("--lr", "0.05", "--seed", "3"), "lr0.05-epochs1-batch400-seed3"),
        (("--lr", "0.001"), "epochs1-batch400-seed0"),
        (("--optimizer", "sgd", "--momentum", "0.9"), "sgd-momentum0.9-epochs1-batch400-seed0"),
        (("--optimizer", "adamw", "--weight-decay", "0.1"), "adamw-decay0.1-epochs1-batch400-seed0"),
        (("--placement", "after", "-O", "bias=true"), "epochs1-batch400-after-biastrue-seed0"),
        (("--augment", "flip", "--augment", "crop"), "epochs1-batch400-crop-flip-seed0"),
    ],
)
def test_a_folder_is_named_by_what_is_distinct_about_its_run(
    normwise: Command, folder: Path, given: tuple[str, ...], name: str
) -> None:
    done = normwise(*_SHORT, *given)
    assert done.code == 0, done.err
    assert (folder / f"{_NAME}-{name}" / "run.json").exists()


def test_a_second_experiment_has_a_folder_of_its_own(normwise: Command) -> None:
    assert [normwise(*_SHORT, "--lr", lr).code for lr in ("0.01", "0.1")] == [0, 0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("--lr", "-1"), "error: lr must be a positive number, got -1.0"),
        (("--placement", "middle"), "error: unknown placement 'middle'"),
        (("--momentum", "0.9"), "error: momentum is for sgd, and adam has its own"),
        (("--weight-decay", "0.1"), "error: weight_decay is for adamw, and not for adam; leave it out"),
        (("--optimizer", "sgd", "--momentum", "1"), "error: momentum must be at least 0 and less than 1"),
    ],
)
def test_a_wrong_option_is_said_before_a_folder_that_is_taken(
    normwise: Command, wrong: tuple[str, ...], message: str
) -> None:
    normwise(*_SHORT, "--out", "run")
    done = normwise(*_SHORT, "--out", "run", *wrong)
    assert done.code == 2
    assert done.err.startswith(message)


def test_a_piped_training_has_a_line_for_each_epoch(normwise: Command) -> None:
    lines = normwise(*_SHORT, "--epochs", "3").err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert all("training loss" in line and "accuracy" in line for line in lines)


def test_the_end_names_what_comes_next_and_that_works(normwise: Command) -> None:
    done = normwise(*_SHORT, "--out", "a run")
    assert "next" in done.out
    assert "normwise predict 'a run' IMAGE.png" in done.out
    assert done.out.splitlines()[-1].split(maxsplit=1) == ["normwise", "report 'a run'"]
    assert normwise("report", "a run").code == 0


def test_statistics_that_lag_are_said(normwise: Command) -> None:
    done = normwise(*_SHORT, "--norm", "batch:momentum=0.001")
    assert "running statistics lag behind the weights: normwise calibrate runs/" in done.out


def test_a_loss_that_rises_has_diverged(normwise: Command) -> None:
    done = normwise(*_SHORT, "--norm", "none", "--optimizer", "sgd", "--lr", "1e6")
    assert done.code == 0
    assert done.out.startswith("diverged")
    assert "the training loss rose from 2." in done.out


@pytest.mark.parametrize("given", [("sgd", "--momentum", "0.9"), ("adamw",)], ids=" ".join)
def test_optimisers_and_their_options_are_kept_with_the_run(
    normwise: Command, folder: Path, given: tuple[str, ...]
) -> None:
    assert normwise(*_SHORT, "--out", "run", "--optimizer", *given).code == 0
    config = json.loads((folder / "run/run.json").read_text())["config"]
    assert (config["optimizer"], config["momentum"], config["weight_decay"]) == (
        ("sgd", 0.9, 0.0) if given[0] == "sgd" else ("adamw", 0.0, 0.01)
    )
