"""A study: the runs of its claims, each made once, in parallel; then the verdicts."""

import hashlib
import multiprocessing.resource_tracker
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime, timezone
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import cast

import joblib
import torch
from joblib.externals.loky.backend import resource_tracker

from normwise.data import LabelledData, kept_data
from normwise.files import write_whole
from normwise.kernels import backends_in_use, in_use
from normwise.parent import end_with_parent
from normwise.records import Environment, Option, Run, RunConfig, Study, Task, check_at_once, to_json
from normwise.studies.claim import Claim
from normwise.studies.preset import Preset
from normwise.training import RunFolder, train

#: Told of each run that has ended: how many have, of how many, and how many of all steps are done.
OnRun = Callable[[int, int, float], None]


def run_study(
    preset: Preset,
    claims: Sequence[Claim],
    out: Path,
    *,
    jobs: int = 1,
    on_run: OnRun | None = None,
) -> Study:
    """Make the runs that are not there yet, judge the claims, and keep the study in ``out``.

    ``out/runs`` has a folder a run, named by a hash of its configuration and of the data, the versions, the
    kernels and the machine that it was made with: a finished run is never repeated, an interrupted one goes on
    from its last checkpoint, and two studies side by side share what each has finished. ``out/study.json`` is
    written whole at the end.

    Args:
        preset: What is run.
        claims: Which claims.
        out: The study's folder.
        jobs: How many processes, each on one thread. Inside ``joblib.parallel_config`` with the backend of
            a Dask or Ray cluster, that is used.
        on_run: Told of the progress.

    Raises:
        ArgumentError: more jobs than can be started.
        DataError: the data can't be had.
        RunError: a run's folder is damaged.
    """
    begun = time.monotonic()
    check_at_once("jobs", jobs)
    per_claim = {claim.name: claim.runs(preset) for claim in claims}
    wanted = [config for runs in per_claim.values() for config in runs]
    # Once and first: an error about the data comes at once, and no two workers download.
    sources = list(dict.fromkeys(map(_source, wanted)))
    digests = {source: _loaded(source).sha256 for source in sources}
    configs = {_folder(out, config, digests[_source(config)]): config for config in sorted(wanted, key=_turn)}
    finished = {folder: run for folder in configs if (run := _finished(folder)) is not None}
    steps, done = sum(config.steps for config in configs.values()), 0

    def tell() -> None:
        if on_run is not None:
            on_run(len(finished), len(configs), done / steps)

    done = sum(configs[folder].steps for folder in finished)
    tell()
    with closing(_parallel([item for item in configs.items() if item[0] not in finished], jobs)) as results:
        for folder, run in results:
            finished[folder] = run
            done += run.config.steps
            tell()
    study = Study(
        preset=preset.name,
        data=", ".join(dict.fromkeys(name for _, name, _ in sources)),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        runs=len(configs),
        cpu_seconds=sum(RunFolder(folder).seconds for folder in configs),
        environment=Environment.here(),
        findings=tuple(
            claim.finding(
                preset,
                [
                    finished[_folder(out, config, digests[_source(config)])]
                    for config in per_claim[claim.name]
                ],
            )
            for claim in claims
        ),
        wall_seconds=round(time.monotonic() - begun, 3),
    )
    write_whole(out / "study.json", (to_json(study, indent=1) + "\n").encode())
    return study


_Source = tuple[Task, str, tuple[tuple[str, Option], ...]]


def _source(config: RunConfig) -> _Source:
    """What tells one data set from another."""
    return config.task, config.data, tuple(sorted(config.data_options.items()))


def _loaded(source: _Source) -> LabelledData:
    task, name, options = source
    return kept_data(task, name, dict(options))


def _turn(config: RunConfig) -> tuple[int, str]:
    # The very long runs first, so that no worker is left with one when the others are done; the rest
    # mixed, so that progress is even and the time left is told rightly.
    return -(config.steps // 10_000), config.key


def _folder(out: Path, config: RunConfig, data_sha256: str) -> Path:
    # Runs on other data, of other versions, of another machine or of other code are not mixed with these, and
    # not lost either. How many cores there are does not matter to a run on one thread.
    here = replace(Environment.here(), cores=1)
    text = f"{config.key} {data_sha256} {to_json(here)} {_code()}"
    return out / "runs" / hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _code() -> str:
    """A digest of what a run computes with: the version alone does not tell two checkouts apart.

    These are the sources, the compiled kernels, and whether and with which instructions these are in use.
    """
    package = files("normwise")
    digest = hashlib.sha256()
    for name in ("data", "functional", "kernels", "models", "nn", "statistics", "training"):
        for source in sorted(Path(str(package / name)).glob("**/*.py")):
            digest.update(source.read_bytes())
    digest.update(in_use().encode())
    for backend in backends_in_use():
        for file in backend.files:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _finished(folder: Path) -> Run | None:
    run = RunFolder(folder)
    return run.read() if run.finished else None


def _parallel(todo: Sequence[tuple[Path, RunConfig]], jobs: int) -> Generator[tuple[Path, Run], None, None]:
    # A worker watches from its first moment on, and not from its first task, which it may never get.
    local = isinstance(joblib.parallel.get_active_backend()[0], joblib.parallel.LokyBackend)
    watching = {"initializer": end_with_parent, "initargs": (os.getpid(),)} if local else {}
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", **watching)
    tasks = (joblib.delayed(_one)(folder, config, os.getpid()) for folder, config in todo)
    results: Generator[tuple[Path, Run], None, None] | None = None
    try:
        with _interruptions_held() if jobs > 1 else nullcontext():
            # joblib's stub has the type of a list of results, not of this generator.
            results = cast("Generator[tuple[Path, Run], None, None]", parallel(tasks))
        yield from results
    except BaseException:
        # Nobody waits for what the workers are at: each run goes on from its checkpoint next time.
        if results is not None:
            with _quietly():
                results.close()
        raise


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep to itself what joblib says when its workers are killed: results nobody had, a thread that missed them."""
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
    """Start processes that Ctrl-C does not reach, for this one ends them; here it comes through afterwards.

    A process and a thread inherit from the thread that starts them which signals are held back, so this holds from
    their first moment on, and for the workers that joblib's own thread starts later. Interrupted half-way, joblib
    would leave workers behind that complain, or wait forever.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
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


def _one(folder: Path, config: RunConfig, study: int) -> tuple[Path, Run]:
    if os.getppid() == study:  # a worker of this machine, also where another backend has started it
        end_with_parent(study)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return folder, train(config, folder, resume=True, wait=True)
    finally:
        torch.set_num_threads(threads)
