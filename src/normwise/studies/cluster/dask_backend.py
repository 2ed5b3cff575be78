"""Runs on a cluster of Dask."""

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import distributed

from normwise.errors import ClusterError
from normwise.studies.cluster.answering import check_answering
from normwise.studies.cluster.joblib_backend import ClusterBackend, JoblibBatch, lost_worker


@contextmanager
def connected(address: str, seconds: float, worker_seconds: float) -> Iterator["DaskBackend"]:
    """Connect to Dask's scheduler.

    Raises:
        ClusterError: it does not answer, or has no worker.
    """
    check_answering(address, seconds, ("tcp", "tls"), "scheduler of Dask", "dask scheduler")
    with _without_logs():
        try:
            client = distributed.Client(address, timeout=seconds, set_as_default=False)
        except (OSError, asyncio.TimeoutError) as error:
            why = (str(error) or type(error).__name__).splitlines()[0]
            raise ClusterError(
                f"what answers at {address} is no scheduler of Dask of this version ({why}); start one by: "
                "dask scheduler"
            ) from None
        try:
            try:
                client.wait_for_workers(1, timeout=worker_seconds)
            except (TimeoutError, asyncio.TimeoutError):
                raise ClusterError(
                    f"the scheduler at {address} has had no worker for {worker_seconds:g} s; start some by: "
                    f"dask worker {address} --nthreads 1"
                ) from None
            yield DaskBackend(client, address)
        finally:
            client.close()


@contextmanager
def _without_logs() -> Iterator[None]:
    """Keep off the terminal what Dask logs of a connection that breaks; the error says it."""
    loggers = [
        logging.getLogger(name) for name in logging.root.manager.loggerDict if name.startswith("distributed")
    ]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class DaskBackend(ClusterBackend):
    """Dask's scheduler, which gives a run to another worker when its worker dies."""

    # Its annotations are those of its asynchronous methods, which are synchronous here.
    def __init__(self, client: Any, address: str):
        super().__init__()
        self._client, self._address = client, address
        self._running: set[Any] = set()

    def slots(self) -> int:
        """Return how many threads the workers have."""
        return sum(self._client.ncores().values())

    def start(self, batch: JoblibBatch) -> "Future[list[Any]]":
        """Give a batch to the scheduler."""
        key = f"normwise-{batch.items[0][1][0].name}-{uuid4().hex}"
        started: Future[list[Any]] = Future()
        running = self._client.submit(batch, key=key, pure=False)
        self._running.add(running)

        def ended(done: Any) -> None:
            self._running.discard(done)
            if done.status == "finished":
                started.set_result(done.result())
            elif done.status == "error":
                started.set_exception(done.exception())
            else:
                started.set_exception(ConnectionError())

        running.add_done_callback(ended)
        return started

    def explain(self, error: BaseException, run: Path) -> BaseException:
        """Return the error to raise for a failed batch."""
        if isinstance(error, distributed.KilledWorker):
            return lost_worker(run, error.allowed_failures + 1)
        if isinstance(error, ConnectionError):
            return ClusterError(
                f"the scheduler at {self._address} is gone; start it and its workers again, and give the same "
                "command: each run goes on from its last checkpoint"
            )
        return error

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel what has not begun; what a worker is at ends by itself, see ``StudyAccess``."""
        with suppress(Exception):  # a scheduler that is gone has nothing to cancel
            self._client.cancel(list(self._running))
