"""The processes of a run: one reason for all of them when one fails or is gone."""

import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from normwise.errors import DataError, RunError
from normwise.training import Processes
from normwise.training.parallel import processes
from tests.support.processes import Died, run, run_each


def _ending(folder: str, name: str, rank: int, count: int, act: Any) -> tuple[str, str, int]:
    """Run a function in each process, and return its end: the exception, its text, and the rank that reports it."""
    ours = Processes(f"file://{folder}/{name}", rank, count)
    kind, text = "", ""
    try:
        with ours:
            act(ours)
    except BaseException as error:
        kind, text = type(error).__name__, str(error)
    return kind, text, -1 if ours.reason is None else ours.reason.teller


def _fail(ours: Processes) -> None:
    if ours.rank == 1:
        raise DataError("no such images")
    # A process that is busy with its own share, and one that waits.
    if ours.rank == 2:
        time.sleep(1)
    ours.wait()


def _differ(processes: Processes) -> None:
    processes.check_same({"lr": 0.1, "steps": 3} if processes.rank < 2 else {"lr": 0.2, "steps": 3})


def _exchange(processes: Processes) -> None:
    summed = torch.full((3,), float(processes.rank))
    processes.add(summed)
    assert summed.tolist() == [3.0] * 3
    assert [int(of_one) for of_one in processes.gather(torch.tensor(processes.rank))] == [0, 1, 2]
    assert processes.from_first(lambda: {"rank": processes.rank}) == {"rank": 0}
    assert processes.bytes_from_first(lambda: b"") == b""


def _endings(rank: int, folder: str) -> dict[str, tuple[str, str, int]]:
    torch.distributed.destroy_process_group()
    acts = {"exchange": _exchange, "fail": _fail, "differ": _differ}
    return {name: _ending(folder, name, rank, 3, act) for name, act in acts.items()}


def test_one_reason_reaches_all(tmp_path: Path) -> None:
    first, second, third = run(_endings, 3, str(tmp_path))
    assert first["exchange"] == second["exchange"] == third["exchange"] == ("", "", -1)
    assert second["fail"] == ("DataError", "no such images", 1)
    assert first["fail"] == third["fail"] == ("RunError", "rank 1 of 3 failed: no such images", 1)
    assert third["differ"][:2] == (
        "ArgumentError",
        "rank 2 was started differently from rank 0: lr is 0.2 here and 0.1 there. Give all processes the same "
        "command, data and version",
    )
    assert "rank 2 was started differently" in first["differ"][1]
    assert first["differ"][2] == second["differ"][2] == third["differ"][2] == 2


def _killed(rank: int, folder: str, signal_number: int) -> tuple[str, str, int]:
    def act(processes: Processes) -> None:
        for step in range(1000):
            if step == 3 and processes.rank == 1:
                os.kill(os.getpid(), signal_number)
                time.sleep(60)
            processes.add(torch.ones(100_000))

    torch.distributed.destroy_process_group()
    return _ending(folder, "store", rank, 4, act)


def test_a_process_that_is_killed_is_named_by_all_others(tmp_path: Path) -> None:
    first, killed, third, fourth = run_each(_killed, 4, str(tmp_path), signal.SIGKILL)
    assert isinstance(killed, Died)
    assert first == third == fourth
    assert first[:2] == (
        "RunError",
        "rank 1 of 4 is gone: killed, or on a machine that does not answer. The run is kept up to its last checkpoint: "
        "resume it with --resume, with this number of processes or another",
    )
    assert first[2] in (0, 2, 3)


def test_a_process_that_is_told_to_end_ends_all(tmp_path: Path) -> None:
    endings = run(_killed, 4, str(tmp_path), signal.SIGTERM)
    assert len(set(endings)) == 1
    kind, text, _ = endings[0]
    assert kind == "RunError"
    assert text.startswith(
        ("the processes were told to end (SIGTERM). The run is kept", "the processes lost their connections")
    )


def test_processes_that_can_not_meet_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_PORT", raising=False)
    with pytest.raises(
        RunError, match=r"did not find each other: .*MASTER_ADDR.* Start all of them, with the same"
    ):
        Processes("env://", 0, 2).__enter__()


def test_a_process_that_does_not_come_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processes, "_START", timedelta(seconds=0.2))
    message = r"3 processes were expected, and within 0.2 s none came with the rank 0, 2\. Start all of them"
    with pytest.raises(RunError, match=message):
        Processes(f"file://{tmp_path}/store", 1, 3).__enter__()
