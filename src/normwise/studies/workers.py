"""Runs in parallel processes, which end with their parent process."""

import multiprocessing.resource_tracker
import os
import signal
import threading
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import cast

from normwise.extras import needs_extra
from normwise.process.one_thread import one_thread
from normwise.process.parent import end_with_parent
from normwise.records import Run, RunConfig
from normwise.training import train


def runs_in_parallel(
    todo: Sequence[tuple[Path, RunConfig]], jobs: int, device: str = "cpu"
) -> Generator[tuple[Path, Run], None, None]:
    """Make runs in as many processes, each on one thread, and yield each with its folder when it has ended.

    When the caller stops or is interrupted, the workers are ended; each run goes on from its checkpoint next time.
    """
    with needs_extra("study", "a study"):
        import joblib
    # A worker watches from its first moment on, and not from its first task, which it may never get.
    watching = {"initializer": end_with_parent, "initargs": (os.getpid(),)}
    # The backend is named, so that no joblib.parallel_config around it brings one whose tasks share a random state.
    parallel = joblib.Parallel(n_jobs=jobs, backend="loky", return_as="generator_unordered", **watching)
    tasks = (joblib.delayed(_one)(folder, config, device) for folder, config in todo)
    results: Generator[tuple[Path, Run], None, None] | None = None
    try:
        with _interruptions_held() if jobs > 1 else nullcontext():
            # joblib's stub has the type of a list of results, not of this generator.
            results = cast("Generator[tuple[Path, Run], None, None]", parallel(tasks))
        yield from results
    except BaseException:
        # Do not wait for the workers' current runs: each resumes from its checkpoint next time.
        if results is not None:
            with quietly():
                results.close()
        raise


@contextmanager
def quietly() -> Iterator[None]:
    """Silence joblib's messages when its workers are killed."""
    hook = threading.excepthook
    threading.excepthook = lambda arguments: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        threading.excepthook = hook


@contextmanager
def _interruptions_held() -> Iterator[None]:
    """Start processes that ignore Ctrl-C, since this process ends them; here it takes effect afterwards.

    A process and a thread inherit from the thread that starts them which signals are held back, so this holds from
    their first moment on, and for the workers that joblib's own thread starts later. Interrupted half-way, joblib
    would leave workers behind that complain, or wait forever.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    with needs_extra("study", "a study"):
        from joblib.externals.loky.backend import resource_tracker
    # These let signals through again when they have started a process of their own: before and not within.
    resource_tracker.ensure_running()
    multiprocessing.resource_tracker.ensure_running()
    came: list[int] = []
    # Whichever thread the signal reaches, Python answers it in the main one.
    answers = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, frame: came.append(number)) if answers else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if answers:
            signal.signal(signal.SIGINT, handler)
            if came and callable(handler):
                handler(came[0], None)


def _one(folder: Path, config: RunConfig, device: str) -> tuple[Path, Run]:
    with one_thread():
        return folder, train(config, folder, resume=True, wait=True, device=device)
