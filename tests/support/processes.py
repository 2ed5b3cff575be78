"""Functions run in several processes that form a group, with their results."""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

_ROOT = Path(__file__).parents[2]
# Imported, and not run as a script: classes of what is pickled are found by the module's name.
_CODE = f"import sys; from {__name__} import main; main(sys.argv[1:])"


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
        environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        children = [
            subprocess.Popen(
                [sys.executable, "-c", _CODE, folder, str(rank), str(size)],
                cwd=_ROOT,
                env=environment,
                start_new_session=True,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(size)
        ]
        try:
            return [_result(Path(folder), rank, child, timeout) for rank, child in enumerate(children)]
        finally:
            for child in children:
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                assert child.stderr is not None
                child.stderr.close()


def _result(folder: Path, rank: int, child: "subprocess.Popen[str]", timeout: float) -> Any:
    try:
        _, errors = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        return Died(f"it was still running after {timeout:g} s")
    path = folder / f"result{rank}"
    if not path.exists():
        return Died(f"it ended with {child.returncode}: {errors[-3000:]}")
    return pickle.loads(path.read_bytes())


def _child(folder: Path, rank: int, size: int) -> None:
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


def main(arguments: Sequence[str]) -> None:
    """Run one rank."""
    _child(Path(arguments[0]), int(arguments[1]), int(arguments[2]))
