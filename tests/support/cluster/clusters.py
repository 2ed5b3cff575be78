"""Clusters of Dask and Ray on this machine, which end with the test."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

#: Command that runs a module as a program that ends with the process that started it, however that ends.
_MODULE = """
import os, runpy, sys
from normwise.process.parent import end_with_parent
end_with_parent(int(sys.argv[1]))
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
_ROOT = Path(__file__).parents[2]
#: The machine of a test may have a lot to do.
_SECONDS = 240.0


@contextmanager
def running_cluster(
    kind: str, *, workers: int = 2, environment: dict[str, str] | None = None
) -> Iterator[str]:
    """Start a cluster with so many worker processes, and yield its address."""
    library = {"dask": "distributed", "ray": "ray"}[kind]
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    port = _free_port()
    address = f"127.0.0.1:{port}"
    # Ray's sockets lie in it, whose paths may not be long.
    folder = Path(tempfile.mkdtemp(prefix=kind))
    # Workers import functions of tests.
    variables = {
        **os.environ,
        "PYTHONPATH": str(_ROOT),
        "RAY_USAGE_STATS_ENABLED": "0",
        **(environment or {}),
    }
    if kind == "dask":
        commands = [["dask", "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]]
        commands += [
            ["dask", "worker", address, "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)]
        ] * workers
    else:
        commands = [[
            "ray.scripts.scripts", "start", "--head", "--block", "--node-ip-address", "127.0.0.1", "--port", str(port),
            "--num-cpus", str(workers), "--include-dashboard=false", "--temp-dir", str(folder),
            "--min-worker-port", "0", "--max-worker-port", "0", "--object-store-memory", str(10**8),
        ]]  # fmt: skip
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with (folder / "log").open("wb") as log:
            for command in commands:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, "-c", _MODULE, str(os.getpid()), *command],
                        stdout=log,
                        stderr=log,
                        env=variables,
                        start_new_session=True,
                    )
                )
        wait_until(lambda: _answers(port), lambda: (folder / "log").read_text(errors="replace"))
        yield address
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def wait_until(true: Callable[[], object], otherwise: Callable[[], str] = str) -> None:
    """Wait until something holds; fail with a text when it takes too long."""
    ends = time.monotonic() + _SECONDS
    while not true():
        assert time.monotonic() < ends, otherwise()
        time.sleep(0.05)


def holder_of(lock: Path) -> int | None:
    """Return the process that has a file open, as who holds a lock has; None where there is none."""
    for file in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # it has ended meanwhile, or is another user's
            if file.readlink() == lock:
                return int(file.parts[2])
    return None


def _free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]


def _answers(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1.0).close()
        return True
    return False
