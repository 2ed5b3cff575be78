"""A cluster as a backend of joblib.

joblib 1.6 has a backend for Dask, and Ray 2.60 one for joblib. The first waits forever for a task that the cluster
gives up, such as one whose workers were killed several times. The second returns no result before all are there. With
both, joblib makes the calls in this process where the cluster has a single worker.

The backends here leave it to the cluster which worker makes a run, and which one makes it again. They tell joblib of
every end that a run can have.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from joblib.parallel import ParallelBackendBase

from normwise.errors import ClusterError

#: Calls of :func:`normwise.studies.cluster.cluster_runs.train_here`, as joblib has them: function, arguments, options.
Calls = Sequence[tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]]


class JoblibBatch(Protocol):
    """A batch of calls of joblib's, which has one call here."""

    items: Calls

    def __call__(self) -> list[Any]:
        """Make the calls."""
        ...


class ClusterBackend(ParallelBackendBase):
    """Base of the clusters' backends."""

    supports_retrieve_callback = True

    @abstractmethod
    def slots(self) -> int:
        """Return how many runs can be made at once now."""

    @abstractmethod
    def start(self, batch: JoblibBatch) -> "Future[list[Any]]":
        """Give a batch to the cluster."""

    @abstractmethod
    def explain(self, error: BaseException, run: Path) -> BaseException:
        """Return the error to raise for a failed batch: the worker's own, or the reason why the cluster gave it up."""

    @abstractmethod
    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel what has not ended."""

    # joblib's base class has a docstring in place of a result, from which pyright makes the type None.
    def effective_n_jobs(self, n_jobs: int) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the number of slots, at least 2: where there is 1, joblib makes the calls itself."""
        return max(2, self.slots())

    def submit(self, func: JoblibBatch, callback: Callable[[Any], None] | None = None) -> "Future[list[Any]]":
        """Give a batch to the cluster, and tell joblib when it has ended, also with an error."""

        def ended(done: "Future[list[Any]]") -> None:
            error = None if done.cancelled() else done.exception()
            if callback is not None and not done.cancelled():
                callback(done.result() if error is None else _Failure(self._explained(error, func)))

        future = self.start(func)
        future.add_done_callback(ended)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return a result, or raise its error."""
        if isinstance(out, _Failure):
            raise out.error
        return out

    def _explained(self, error: BaseException, batch: JoblibBatch) -> BaseException:
        run: Path = batch.items[0][1][0]
        explained = self.explain(error, run)
        if "No module named 'normwise" in str(explained):
            return ClusterError(
                "a worker of the cluster can't import normwise; install the same normwise, Python and packages on all "
                "machines of the cluster, or start the workers in the environment of the study"
            )
        return explained


class _Failure:
    """An error on its way through joblib, which passes on results only."""

    def __init__(self, error: BaseException):
        self.error = error


def lost_worker(run: Path, times: int) -> ClusterError:
    """Return the error about a run that the cluster gave up."""
    return ClusterError(
        f"the run {run} was given up: its worker died {times} times, each time that it was tried. See the log of the "
        "worker (was there not enough memory?); the same command goes on from the run's last checkpoint"
    )
