"""Runs on a cluster of Ray."""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO, cast

import ray
import ray.exceptions

from normwise.errors import ClusterError
from normwise.studies.cluster.answering import check_answering
from normwise.studies.cluster.joblib_backend import ClusterBackend, JoblibBatch, lost_worker

#: Tries of a run whose workers die, after the first; Dask has as many.
_RETRIES = 3


@contextmanager
def connected(address: str, seconds: float, worker_seconds: float) -> Iterator["RayBackend"]:
    """Connect to Ray's head.

    Raises:
        ClusterError: it does not answer, has another version of Ray or Python, or has no processor to compute on.
    """
    if address != "auto":  # Ray itself would try for minutes, and complain on the way
        check_answering(address, seconds, (), "cluster of Ray", "ray start --head")
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"the cluster of Ray at {address} can't be used from here: {str(error).splitlines()[0]}; the study "
            f"must be started on a machine of the cluster: ray start --address={address}"
        ) from None
    # Ray prints there which processes have died, where the study's records may be printed.
    with redirect_stdout(cast("TextIO", _WithoutRay(sys.stdout))):
        try:
            backend = RayBackend()
            ends = time.monotonic() + worker_seconds
            while not backend.slots():
                if time.monotonic() > ends:
                    raise ClusterError(
                        f"the cluster of Ray at {address} has had no CPU for {worker_seconds:g} s; add a "
                        f"machine by: ray start --address={address}"
                    )
                time.sleep(0.5)
            yield backend
        finally:
            ray.shutdown()


class _WithoutRay:
    """Standard output, without the lines of Ray's own thread, which go to standard error."""

    def __init__(self, stdout: TextIO):
        self._stdout = stdout

    def write(self, text: str) -> int:
        """Write a text where it belongs."""
        by_ray = threading.current_thread().name.startswith("ray_")
        return (sys.stderr if by_ray else self._stdout).write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stdout, name)


class RayBackend(ClusterBackend):
    """Ray's scheduler, which gives a run to another process when its process dies."""

    def __init__(self) -> None:
        super().__init__()
        self._running: set[ray.ObjectRef] = set()
        # A task and no actor: the run of a process that died goes to whichever is free.
        self._call = ray.remote(num_cpus=1, max_retries=_RETRIES)(_call)

    def slots(self) -> int:
        """Return how many CPUs the cluster has."""
        return int(ray.cluster_resources().get("CPU", 0))

    def start(self, batch: JoblibBatch) -> "Future[list[Any]]":
        """Give a batch to Ray."""
        running = self._call.options(name=f"normwise-{batch.items[0][1][0].name}").remote(batch)
        self._running.add(running)
        future = running.future()
        future.add_done_callback(lambda done: self._running.discard(running))
        return future

    def explain(self, error: BaseException, run: Path) -> BaseException:
        """Return the error to raise for a failed batch."""
        if isinstance(error, ray.exceptions.RayTaskError):
            return error.cause  # what the run itself raised
        if isinstance(error, ray.exceptions.RayError):
            return lost_worker(run, _RETRIES + 1)
        return error

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End what has not ended; each run goes on from its checkpoint next time."""
        for running in list(self._running):
            with suppress(Exception):  # it has ended meanwhile, or the cluster is gone
                ray.cancel(running, force=True)


def _call(batch: JoblibBatch) -> list[Any]:
    return batch()
