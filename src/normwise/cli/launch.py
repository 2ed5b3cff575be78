"""Processes that a launcher such as torchrun started for one command, and which of them prints."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from normwise.cli import terminal
from normwise.errors import ArgumentError

if TYPE_CHECKING:
    from normwise.training import Processes

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def let_the_first_speak() -> None:
    """Mute all processes that torchrun started but the first: they have one terminal."""
    # When a process dies, torch's warnings would bury our one line. torch reads this variable at import.
    if "RANK" in os.environ and "torch" not in sys.modules:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if _by_torchrun() and os.environ.get("RANK", "0") != "0":
        terminal.mute(True)


@contextmanager
def launched_processes() -> Iterator["Processes | None"]:
    """Connect the processes that were started for this command; return None if there is only one.

    If torchrun started them, one process prints why they end early. If they were started by hand, all of them do,
    since each may have its own terminal.

    Raises:
        ArgumentError: the environment has only some of the variables that they need.
        RunError: a process is missing, has failed or has died.
    """
    if not _several():
        yield None
        return
    from normwise.training import Processes

    processes = Processes()
    _let_the_reason_be_told(processes)
    try:
        with processes:
            yield processes
    except BaseException:
        reason = processes.reason
        terminal.mute(_by_torchrun() and reason is not None and reason.teller != processes.rank)
        raise


def _let_the_reason_be_told(processes: "Processes") -> None:
    """Let SIGTERM end this process as usual, but not before the reason for the run's end is printed.

    torchrun terminates the other processes when one has failed. The handler stays until the command has ended.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL

    def end(number: int, frame: FrameType | None) -> None:
        if processes.reason is None:
            signal.signal(signal.SIGTERM, before)
            os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, end)


def _several() -> bool:
    """Return whether the environment is that of one of several processes."""
    given = {name: value for name in _VARIABLES if (value := os.environ.get(name))}
    # A scheduler may set one of these variables in the environment of any command.
    if not {"RANK", "WORLD_SIZE"} <= set(given):
        return False
    for name in ("RANK", "WORLD_SIZE"):
        if not given[name].isdecimal():
            raise ArgumentError(
                f"the environment variable {name} must be a whole number, got {given[name]!r}"
            )
    if int(given["WORLD_SIZE"]) == 1:
        return False
    if not int(given["RANK"]) < int(given["WORLD_SIZE"]):
        raise ArgumentError(
            f"the environment says RANK={given['RANK']} of WORLD_SIZE={given['WORLD_SIZE']}; ranks are counted "
            "from 0 to WORLD_SIZE - 1"
        )
    missing = [name for name in _VARIABLES if name not in given]
    if missing:
        raise ArgumentError(
            f"the environment says RANK={given['RANK']} of WORLD_SIZE={given['WORLD_SIZE']} processes, and lacks "
            f"{' and '.join(missing)}; start them with torchrun, set these too, or unset RANK and WORLD_SIZE"
        )
    return True


def _by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ
