"""``normwise train`` in several processes, started by torchrun and by hand: killed, resumed, and told once."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import safetensors.torch
import torch

from normwise.cli import app
from normwise.training import RunFolder

#: ``python -m normwise``, saving at every step, with its process number in a file. A launcher that ends it just before
#: it says why must not silence it.
_CHILD = """
import os, pathlib, signal
os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # as the command line does, which comes after torch here
from normwise.training import train
train.__kwdefaults__["checkpoint_seconds"] = 0.0
pathlib.Path(f"pid{os.environ['RANK']}").write_text(str(os.getpid()))
from normwise.cli import main, terminal
complain = terminal.complain
terminal.complain = lambda *text: (os.kill(os.getpid(), signal.SIGTERM), complain(*text))
main()
"""
_TRAIN = [
    *("train", "image", "--model", "dense_bn", "--data", "digits", "--optimizer", "sgd", "--lr", "0.02"),
    *("--batch-size", "50", "--epochs", "12"),
]
_TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node"]
_GONE = (
    "is gone: killed, or on a machine that does not answer. The run is kept up to its last checkpoint: resume"
)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def _started(
    commands: list[list[str]], folder: Path, *, by_hand: bool
) -> "Iterator[list[subprocess.Popen[str]]]":
    """Start commands in a folder, by hand each as a rank; all are killed at the end."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[3] / "src"), "PYTHONFAULTHANDLER": "1"}
    port = str(_free_port())
    children: list[subprocess.Popen[str]] = []
    for rank, command in enumerate(commands):
        place = {
            "RANK": str(rank),
            "WORLD_SIZE": str(len(commands)),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        children.append(
            subprocess.Popen(
                command,
                cwd=folder,
                env=environment | (place if by_hand else {}),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
    try:
        yield children
    finally:
        for child in children:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.communicate()


def _torchrun(count: int, folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    given = [*_TORCHRUN, str(count), "--master-port", str(_free_port()), *command]
    with _started([given], folder, by_hand=False) as (child,):
        out, errors = child.communicate(timeout=280)
    return subprocess.CompletedProcess(given, child.returncode, out, errors)


def _kill_when_saved(folder: Path, rank: int, started: "subprocess.Popen[str]") -> None:
    checkpoint, deadline = folder / "run/checkpoint.safetensors", time.monotonic() + 280
    while not checkpoint.exists():
        assert started.poll() is None, started.communicate()[1]
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.02)
    os.kill(int((folder / f"pid{rank}").read_text()), signal.SIGKILL)


def _lines(errors: str) -> list[str]:
    return [line for line in errors.splitlines() if line.startswith("error: ")]


#: On a machine that is busy with other things processes take long to start.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights of the run in one process that was never interrupted."""
    folder = tmp_path_factory.mktemp("unbroken")
    assert app.run_command_line([*_TRAIN, "--out", str(folder / "run"), "--threads", "1"]) == 0
    return safetensors.torch.load_file(folder / "run/checkpoint.safetensors")


def _check(folder: Path, unbroken: dict[str, torch.Tensor], counts: list[int]) -> None:
    run = RunFolder(folder).read()
    assert run.result is not None
    assert [span.count for span in run.processes] == counts
    assert [point.step for point in run.points] == sorted({point.step for point in run.points})
    for name, tensor in safetensors.torch.load_file(folder / "checkpoint.safetensors").items():
        torch.testing.assert_close(tensor, unbroken[name], rtol=1e-3, atol=1e-4)


def test_one_killed_under_torchrun_ends_all_and_the_run_goes_on_in_any_number_of_processes(
    tmp_path: Path, unbroken: dict[str, torch.Tensor]
) -> None:
    (tmp_path / "child.py").write_text(_CHILD)
    command = [*_TORCHRUN, "2", "--master-port", str(_free_port()), "child.py", *_TRAIN, "--out", "run"]
    with _started([command], tmp_path, by_hand=False) as (torchrun,):
        _kill_when_saved(tmp_path, 1, torchrun)
        killed = time.monotonic()
        _, errors = torchrun.communicate(timeout=120)
        # Seconds on an idle machine; the promise is a minute.
        assert time.monotonic() - killed < 60
    assert torchrun.returncode == 1
    (line,) = _lines(errors) or [errors]
    assert f"rank 1 of 2 {_GONE} it with --resume" in line
    assert not RunFolder(tmp_path / "run").finished
    for name in ("one", "two"):
        shutil.copytree(tmp_path / "run", tmp_path / name)
    assert (
        app.run_command_line(["train", "image", "--resume", "--out", str(tmp_path / "one"), "--threads", "1"])
        == 0
    )
    _check(tmp_path / "one", unbroken, [2, 1])
    for count, name, counts in ((2, "two", [2]), (3, "run", [2, 3])):
        done = _torchrun(count, tmp_path, "-m", "normwise", "train", "image", "--resume", "--out", name)
        assert done.returncode == 0, done.stderr
        # What torchrun prints is on standard error; the summary comes once.
        first = [line.split()[0] for line in done.stdout.splitlines()]
        assert first == ["test", "test", "run", "next", "normwise", "normwise"]
        _check(tmp_path / name, unbroken, counts)


def test_the_first_killed_among_processes_started_by_hand_ends_the_others(
    tmp_path: Path, unbroken: dict[str, torch.Tensor]
) -> None:
    (tmp_path / "child.py").write_text(_CHILD)
    command = [sys.executable, "child.py", *_TRAIN, "--out", "run"]
    with _started([command] * 3, tmp_path, by_hand=True) as children:
        _kill_when_saved(tmp_path, 0, children[0])
        killed = time.monotonic()
        ends = [child.communicate(timeout=120)[1] for child in children]
        assert time.monotonic() - killed < 60
    assert [child.returncode for child in children] == [-signal.SIGKILL, 2, 2]
    for errors in ends[1:]:
        assert len(errors.splitlines()) == 1, errors
        assert errors.startswith("error: rank 0 of 3 is gone")
    resumed = [sys.executable, "-m", "normwise", "train", "image", "--resume", "--out", "run"]
    with _started([resumed] * 2, tmp_path, by_hand=True) as children:
        outputs = [child.communicate(timeout=280) for child in children]
    assert [child.returncode for child in children] == [0, 0], outputs
    assert outputs[1] == ("", "")
    _check(tmp_path / "run", unbroken, [3, 2])


def test_an_error_is_told_once_under_torchrun(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("")
    done = _torchrun(2, tmp_path, "-m", "normwise", *_TRAIN, "--out", "run")
    assert done.returncode == 1
    (line,) = _lines(done.stderr) or [done.stderr]
    assert line == "error: run is not empty and holds no run; choose another folder"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_processes_started_by_hand_with_other_options_say_which(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "normwise", *_TRAIN, "--out", "run"]
    with _started([command, [*command, "--seed", "1"]], tmp_path, by_hand=True) as children:
        first, second = (child.communicate(timeout=280)[1] for child in children)
    assert [child.returncode for child in children] == [2, 2]
    assert second.startswith(
        "error: rank 1 was started differently from rank 0: seed is '1' here and '0' there. Give"
    )
    assert first.startswith("error: rank 1 of 2 failed: rank 1 was started differently from rank 0: seed is")
    assert not (tmp_path / "run").exists()
