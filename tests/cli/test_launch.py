"""The environment that a launcher gives to a command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from normwise.cli import app


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RANK": "0", "WORLD_SIZE": "x"}, "WORLD_SIZE must be a whole number, got 'x'"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK=2 of WORLD_SIZE=2; ranks are counted from 0"),
        (
            {"RANK": "0", "WORLD_SIZE": "2", "MASTER_PORT": "1"},
            "RANK=0 of WORLD_SIZE=2 processes, and lacks MASTER_ADDR; start them with torchrun, set",
        ),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "lacks MASTER_ADDR and MASTER_PORT; start"),
    ],
)
def test_an_environment_that_contradicts_itself_is_said(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    message: str,
) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert app.run_command_line(["train", "image"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("rank", "speaks"), [("0", True), ("1", False)])
def test_wrong_use_under_torchrun_is_said_by_the_first_process_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rank: str, speaks: bool
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("RANK", rank)
    assert app.run_command_line(["train", "image", "--epochs", "many"]) == 2
    assert bool(capsys.readouterr().err) == speaks
    monkeypatch.delenv("RANK")
    assert app.run_command_line(["train", "image", "--epochs", "many"]) == 2
    assert capsys.readouterr().err


def test_a_world_of_one_is_one_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    given = ["train", "image", "--model", "dense_bn", "--epochs", "1", "--out", f"{tmp_path}/run"]
    assert app.run_command_line(given) == 0
    assert "test accuracy" in capsys.readouterr().out


@pytest.mark.parametrize("given", [None, "INFO"])
def test_warnings_of_torch_about_lost_connections_are_off_unless_asked_for(given: str | None) -> None:
    code = "from normwise.cli import launch as l; l.let_the_first_speak(); print(l.os.environ['TORCH_CPP_LOG_LEVEL'])"
    environment = {name: value for name, value in os.environ.items() if name != "TORCH_CPP_LOG_LEVEL"}
    environment |= {"RANK": "0"} | ({} if given is None else {"TORCH_CPP_LOG_LEVEL": given})
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == (given or "ERROR")
