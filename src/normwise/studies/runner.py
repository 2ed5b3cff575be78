"""A study: the runs of its claims, each made once, in parallel; then the verdicts."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import cast

import joblib
import torch
from joblib.externals.loky import get_reusable_executor

from normwise.data import load_images
from normwise.records import Environment, Run, RunConfig, Study, to_json
from normwise.studies.claim import Claim
from normwise.studies.preset import Preset
from normwise.training import RunFolder, train, write_whole

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

    ``out/runs`` has a folder a run, named by a hash of its configuration and of the versions and the machine
    that it was made with: a finished run is never repeated, an interrupted one goes on from its last
    checkpoint, and two studies side by side share what each has finished. ``out/study.json`` is written
    whole at the end.

    Args:
        preset: What is run.
        claims: Which claims.
        out: The study's folder.
        jobs: How many processes, each on one thread. Inside ``joblib.parallel_config`` with the backend of
            a Dask or Ray cluster, that is used.
        on_run: Told of the progress.

    Raises:
        DataError: the data can't be had.
        RunError: a run's folder is damaged.
    """
    # Once and first: an error about the data comes at once, and no two workers download.
    data = load_images(preset.data)
    per_claim = {claim.name: claim.runs(preset) for claim in claims}
    configs = {
        _folder(out, config): config
        for config in sorted((c for runs in per_claim.values() for c in runs), key=_turn)
    }
    finished = {folder: run for folder in configs if (run := _finished(folder)) is not None}
    steps, done = sum(config.steps for config in configs.values()), 0

    def tell() -> None:
        if on_run is not None:
            on_run(len(finished), len(configs), done / steps)

    done = sum(configs[folder].steps for folder in finished)
    tell()
    for folder, run in _parallel([item for item in configs.items() if item[0] not in finished], jobs):
        finished[folder] = run
        done += run.config.steps
        tell()
    study = Study(
        preset=preset.name,
        data=data.name,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        runs=len(configs),
        cpu_seconds=sum(RunFolder(folder).seconds for folder in configs),
        environment=Environment.here(),
        findings=tuple(
            claim.finding(preset, [finished[_folder(out, config)] for config in per_claim[claim.name]])
            for claim in claims
        ),
    )
    write_whole(out / "study.json", (to_json(study, indent=1) + "\n").encode())
    return study


def _turn(config: RunConfig) -> tuple[int, str]:
    # The very long runs first, so that no worker is left with one when the others are done; the rest
    # mixed, so that progress is even and the time left is told rightly.
    return -(config.steps // 10_000), config.key


def _folder(out: Path, config: RunConfig) -> Path:
    # Runs of other versions, of another machine or of other code are not mixed with these, and not lost
    # either. How many cores there are does not matter to a run on one thread.
    here = replace(Environment.here(), cores=1)
    text = f"{config.key} {to_json(here)} {_code()}"
    return out / "runs" / hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _code() -> str:
    """A digest of the sources that a run depends on: the version alone does not tell two checkouts apart."""
    package = files("normwise")
    digest = hashlib.sha256()
    for name in ("data", "functional", "kernels", "models", "nn", "statistics", "training"):
        for source in sorted(Path(str(package / name)).glob("**/*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()


def _finished(folder: Path) -> Run | None:
    run = RunFolder(folder)
    return run.read() if run.finished else None


def _parallel(todo: Sequence[tuple[Path, RunConfig]], jobs: int) -> Iterator[tuple[Path, Run]]:
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    try:
        # joblib's stub has the type of a list of results, not of this generator.
        yield from cast(
            "Iterator[tuple[Path, Run]]",
            parallel(joblib.delayed(_one)(folder, config, os.getpid()) for folder, config in todo),
        )
    except BaseException:
        # Nobody waits for what the workers are at: each run goes on from its checkpoint next time.
        get_reusable_executor().shutdown(wait=True, kill_workers=True)
        raise


def _one(folder: Path, config: RunConfig, study: int) -> tuple[Path, Run]:
    if os.getppid() == study:
        _end_with(study)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return folder, train(config, folder, resume=True, wait=True)
    finally:
        torch.set_num_threads(threads)


@cache
def _end_with(study: int) -> None:
    """End this worker soon after the study's process is gone: killed, that can't tell its workers to stop."""

    def watch() -> None:
        while os.getppid() == study:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
