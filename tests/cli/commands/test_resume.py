"""``train --resume``: the run's own options if none are given, and never a new run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from normwise.cli import app
from normwise.records import Point, RunConfig, from_plain
from normwise.training import train

_CONFIG = RunConfig("dense_bn", "digits", "none", 12, 100, 0.02, 3, 12, "sgd", options={"bias": True})
_FILES = ("run.json", "metrics.jsonl", "checkpoint.safetensors", "preparation.json")


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was interrupted, in a folder that one works in."""

    def stop(step: int, loss: float, point: Point | None) -> None:
        if step == 5:
            raise KeyError

    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyError):
        train(_CONFIG, tmp_path / "run", threads=1, on_step=stop)
    return tmp_path / "run"


@pytest.mark.parametrize("given", [(), ("--lr", "0.02", "--model", "dense_bn")], ids=["none", "some"])
def test_options_that_are_not_given_are_the_runs_own(begun: Path, given: tuple[str, ...]) -> None:
    assert app.run_command_line(["train", "image", "--resume", "--out", "run", *given]) == 0
    unbroken = begun.parent / "unbroken"
    train(_CONFIG, unbroken, threads=1)
    assert [(begun / name).read_bytes() for name in _FILES] == [
        (unbroken / name).read_bytes() for name in _FILES
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("image", "--lr", "0.1"), "run holds a run of another configuration: lr is 0.02, not 0.1. Choose"),
        (("image", "-O", "bias=false"), "options is {'bias': True}, not {'bias': False}. Choose"),
        (("text",), "run holds a run on image; resume it by normwise train image"),
    ],
)
def test_an_option_that_differs_is_named_alone(
    begun: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert app.run_command_line(["train", *arguments, "--resume", "--out", "run"]) == 2
    assert message in capsys.readouterr().err


def test_a_run_is_extended_by_more_epochs_and_not_cut_by_fewer(
    begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run_command_line(["train", "image", "--resume", "--out", "run", "--epochs", "3"]) == 0
    longer = begun.parent / "longer"
    train(replace(_CONFIG, steps=36), longer, threads=1)
    assert [(begun / name).read_bytes() for name in _FILES] == [
        (longer / name).read_bytes() for name in _FILES
    ]
    assert app.run_command_line(["train", "image", "--resume", "--out", "run", "--epochs", "2"]) == 2
    assert (
        "error: run holds a run of 3 epochs; give --epochs more of them to extend it"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "rum"), "error: there is no run in rum to resume; . has run: name one by --out"),
        (
            (),
            "error: there is no run in runs/mnist_cnn-digits-batch-seed0 to resume; name the run's folder",
        ),
    ],
)
def test_a_folder_without_a_run_is_no_new_run(
    begun: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert app.run_command_line(["train", "image", "--resume", *arguments]) == 2
    assert capsys.readouterr().err.startswith(message)
    assert [path.name for path in begun.parent.iterdir()] == ["run"]


def test_without_resuming_it_says_in_what_the_run_that_is_there_differs(
    begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--norm", "none", "--seed", "3", "--optimizer", "sgd", "--lr", "0.1", "--batch-size", "100"]
    code = app.run_command_line(
        ["train", "image", "--model", "dense_bn", "--epochs", "1", "--out", "run", "-O", "bias=true", *given]
    )
    assert code == 2
    assert (
        "already holds a run of another configuration: lr is 0.02, not 0.1. Choose" in capsys.readouterr().err
    )
    assert from_plain(RunConfig, json.loads((begun / "run.json").read_text())["config"]) == _CONFIG
