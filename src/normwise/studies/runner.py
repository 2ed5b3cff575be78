"""A study: the runs of its claims, each made once, in parallel; then the verdicts."""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

from normwise.data import LabelledData, load_data
from normwise.files import write_whole
from normwise.records import Environment, Option, Run, RunConfig, Study, Task, check_at_once, to_json
from normwise.studies.claim import Claim
from normwise.studies.cluster import Cluster, runs_on_cluster
from normwise.studies.fingerprint import Fingerprint
from normwise.studies.preset import Preset
from normwise.studies.workers import runs_in_parallel
from normwise.training import RunFolder

#: Told of each run that has ended: how many have, of how many, and how many of all steps are done.
OnRun = Callable[[int, int, float], None]


def run_study(
    preset: Preset,
    claims: Sequence[Claim],
    out: Path,
    *,
    jobs: int = 1,
    cluster: Cluster | None = None,
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
        jobs: How many processes of this machine, each on one thread.
        cluster: Cluster whose workers make the runs instead; they share the folder ``out``.
        on_run: Told of the progress.

    Raises:
        ArgumentError: more jobs than can be started.
        ClusterError: the cluster does not answer, its workers are not fit for the study, or it gave a run up.
        DataError: the data can't be had.
        RunError: a run's folder is damaged.
    """
    begun = time.monotonic()
    # A worker of a cluster has another working directory.
    out = out.absolute()
    check_at_once("jobs", jobs)
    per_claim = {claim.name: claim.runs(preset) for claim in claims}
    wanted = [config for runs in per_claim.values() for config in runs]
    # Once and first: an error about the data comes at once, and no two workers download.
    sources = list(dict.fromkeys(map(_source, wanted)))
    digests = {source: _loaded(source).sha256 for source in sources}
    fingerprint = Fingerprint.here()

    def folder_of(config: RunConfig) -> Path:
        return _folder(out, config, digests[_source(config)], fingerprint)

    configs = {folder_of(config): config for config in sorted(wanted, key=_turn)}
    finished = {folder: run for folder in configs if (run := _finished(folder)) is not None}
    steps, done = sum(config.steps for config in configs.values()), 0

    def tell() -> None:
        if on_run is not None:
            on_run(len(finished), len(configs), done / steps)

    done = sum(configs[folder].steps for folder in finished)
    tell()
    todo = [item for item in configs.items() if item[0] not in finished]
    with closing(
        runs_in_parallel(todo, jobs)
        if cluster is None
        else runs_on_cluster(
            [(folder, config, digests[_source(config)]) for folder, config in todo], cluster, out, fingerprint
        )
    ) as results:
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
            claim.result(preset, [finished[folder_of(config)] for config in per_claim[claim.name]])
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
    return load_data(task, name, **dict(options))


def _turn(config: RunConfig) -> tuple[int, str]:
    # The very long runs first, so that no worker is left with one when the others are done; the rest
    # mixed, so that progress is even and the time left is told rightly.
    return -(config.steps // 10_000), config.key


def _folder(out: Path, config: RunConfig, data_sha256: str, fingerprint: Fingerprint) -> Path:
    # Runs on other data, of other versions, of another machine or of other code are not mixed with these, and
    # not lost either.
    text = f"{config.key} {data_sha256} {to_json(fingerprint)}"
    return out / "runs" / hashlib.sha256(text.encode()).hexdigest()[:16]


def _finished(folder: Path) -> Run | None:
    run = RunFolder(folder)
    return run.read() if run.finished else None
