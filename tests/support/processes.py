"""Functions run in several processes that form a group, with their results."""

import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

# Forked from a process that has imported what takes seconds, and has computed nothing yet.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["torch", "normwise.nn", "normwise.statistics", "normwise.surgery", "normwise.doctor"]
)


class Failed(AssertionError):
    """Some rank raised an exception or died; the message has what each said."""


def run(function: Callable[..., Any], size: int, *args: Any, timeout: float = 120.0) -> list[Any]:
    """Call ``function(rank, *args)`` on ``size`` ranks of a gloo group, and return what each returned.

    Args:
        function: A function at the top of a test module, and what it returns, can be pickled.
        size: Number of processes.
        args: Further arguments.
        timeout: Seconds after which all are killed.

    Raises:
        Failed: a rank raised an exception, died or took too long.
    """
    results = run_each(function, size, *args, timeout=timeout)
    if wrong := [f"rank {rank}: {result}" for rank, result in enumerate(results) if isinstance(result, Died)]:
        raise Failed("\n".join(wrong))
    return results


class Died(str):
    """The end of a rank that returned nothing: its traceback or exit status."""


def run_each(function: Callable[..., Any], size: int, *args: Any, timeout: float = 120.0) -> list[Any]:
    """Do what :func:`run` does, and return a :class:`Died` for each rank that did not return."""
    with tempfile.TemporaryDirectory() as folder:
        task = Path(folder) / "task"
        task.write_bytes(pickle.dumps((function.__module__, function.__qualname__, args)))
        children = [
            _CONTEXT.Process(target=_child, args=(Path(folder), rank, size), daemon=True)
            for rank in range(size)
        ]
        end = time.monotonic() + timeout
        try:
            for child in children:
                child.start()
            return [_result(Path(folder), rank, child, timeout, end) for rank, child in enumerate(children)]
        finally:
            for child in children:
                if child.is_alive():
                    _kill(child)
                child.join()


def _kill(child: BaseProcess) -> None:
    try:
        # With what it has started itself.
        os.killpg(child.pid or 0, signal.SIGKILL)
    except ProcessLookupError:  # it has not made a group of its own yet
        child.kill()


def _result(folder: Path, rank: int, child: BaseProcess, timeout: float, end: float) -> Any:
    child.join(max(end - time.monotonic(), 0))
    if child.is_alive():
        return Died(f"it was still running after {timeout:g} s")
    path, errors = folder / f"result{rank}", folder / f"errors{rank}"
    if not path.exists():
        said = errors.read_text(errors="replace") if errors.exists() else ""
        return Died(f"it ended with {child.exitcode}: {said[-3000:]}")
    return pickle.loads(path.read_bytes())


def _child(folder: Path, rank: int, size: int) -> None:
    os.setsid()
    with (folder / f"errors{rank}").open("wb") as errors:
        os.dup2(errors.fileno(), 2)
    os.environ |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    module, name, args = pickle.loads((folder / "task").read_bytes())
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size
    )
    try:
        function = getattr(
            sys.modules[module] if module in sys.modules else __import__(module, fromlist=["_"]), name
        )
        result = function(rank, *args)
    except BaseException:
        result = Died(traceback.format_exc())
    partial = folder / f"partial{rank}"
    partial.write_bytes(pickle.dumps(result))
    partial.rename(folder / f"result{rank}")
    if not isinstance(result, Died):
        # A rank that waits for others is told by the end of those that failed.
        torch.distributed.destroy_process_group()
