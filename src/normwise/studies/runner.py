"""A study: the runs of its claims, each made once and in parallel, then the verdicts."""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path

import torch

from normwise.data import LabelledData, load_data
from normwise.errors import ArgumentError
from normwise.extras import needs_extra
from normwise.files import write_whole
from normwise.process.one_thread import one_thread
from normwise.records import Option, Run, RunConfig, Study, Task, check_at_once, to_json
from normwise.studies.arms import Runs, Search
from normwise.studies.claim import Claim
from normwise.studies.cluster import Cluster, runs_on_cluster
from normwise.studies.fingerprint import Fingerprint, environment_on
from normwise.studies.preset import Preset
from normwise.studies.workers import runs_in_parallel
from normwise.training import RunFolder

#: Function that is called after each run with the number of finished runs, of all runs, and the share of all
#: steps.
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
    """Make the missing runs, judge the claims, and store the study in ``out``.

    Learning rates are chosen first, by separate runs, and then used for all other runs.

    ``out/runs`` has a folder for each run, named by a hash of its configuration, data, versions, kernels and
    machine. A finished run is never repeated, an interrupted one resumes from its last checkpoint, and two
    concurrent studies share their finished runs. ``out/study.json`` is written at the end.

    Args:
        preset: Preset to run.
        claims: Claims to test.
        out: Folder of the study.
        jobs: Number of processes of this machine, each with one thread.
        cluster: Cluster whose workers make the runs instead; they must share the folder ``out``.
        on_run: Function that is called after each run.

    Raises:
        ArgumentError: more jobs than can be started, or there is no device for the preset.
        ClusterError: the cluster does not answer, its workers can't make the study's runs, or it gave up a run.
        DataError: the data are not available.
        MissingPackageError: a package of the extra ``study`` is not installed.
        RunError: a run's folder is damaged.
    """
    begun = time.monotonic()
    check_at_once("jobs", jobs)
    _check_packages()
    _check_device(preset, cluster)
    # A worker of a cluster has another working directory.
    making = _Making(out.absolute(), jobs, cluster, on_run, preset.device)
    searches = {search.key: search for claim in claims for search in claim.searches(preset)}
    choosing = _different(config for search in searches.values() for config in search.runs(preset))
    # The number of runs does not depend on the chosen rates.
    making.expect(choosing + _judged(claims, preset, lambda search: search.rates[0]))
    making.make(choosing)
    chosen = Runs(making.finished.values(), preset.seeds, {})
    rates = {key: search.best(preset, chosen) for key, search in searches.items()}
    judged = _judged(claims, preset, lambda search: rates[search.key])
    making.expect(choosing + judged)
    making.make(judged)
    runs = Runs(making.finished.values(), preset.seeds, rates)
    made = making.expected
    study = Study(
        preset=preset.name,
        data=", ".join(dict.fromkeys(config.data for config in choosing + judged)),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        runs=len(made),
        cpu_seconds=sum(RunFolder(folder).seconds for folder in made),
        environment=environment_on(preset.device),
        findings=tuple(claim.result(preset, runs) for claim in claims),
        wall_seconds=round(time.monotonic() - begun, 3),
    )
    write_whole(making.out / "study.json", (to_json(study, indent=1) + "\n").encode())
    return study


def _check_packages() -> None:
    """Raise MissingPackageError before the first run, and not hours later, where a package is used."""
    with needs_extra("study", "a study"):
        for package in ("joblib", "scipy.special"):
            import_module(package)


def _check_device(preset: Preset, cluster: Cluster | None) -> None:
    if preset.device == "cpu":
        return
    if not torch.cuda.is_available():
        raise ArgumentError(f"preset={preset.name} needs a CUDA device; torch sees none")
    if cluster is not None:
        raise ArgumentError(f"preset={preset.name} runs on the GPU of this machine, and not on a cluster")


_Source = tuple[Task, str, tuple[tuple[str, Option], ...]]


class _Making:
    """The runs of a study: their folders, the finished ones, and the making of the others."""

    def __init__(self, out: Path, jobs: int, cluster: Cluster | None, on_run: OnRun | None, device: str):
        self.out, self.finished = out, dict[Path, Run]()
        self._jobs, self._cluster, self._on_run, self._device = jobs, cluster, on_run, device
        self._digests: dict[_Source, str] = {}
        self._fingerprint = Fingerprint.here(device)
        self._expected: dict[str, int] = {}
        self._told: tuple[int, int, float] | None = None

    def expect(self, configs: Iterable[RunConfig]) -> None:
        """Take these for all that will be made, and tell how far they are."""
        configs = list(configs)
        # Once and first: an error about the data comes at once, and no two workers download.
        for source in dict.fromkeys(map(_source, configs)):
            if source not in self._digests:
                self._digests[source] = _loaded(source).sha256
        self._expected = {config.key: config.steps for config in configs}
        for config in configs:
            folder = self._folder(config)
            if folder not in self.finished and (run := _finished(folder)) is not None:
                self.finished[folder] = run
        self._tell()

    @property
    def expected(self) -> list[Path]:
        """Return the folders of the runs that are expected; others were finished before, and are not asked for."""
        return [folder for folder, run in self.finished.items() if run.config.key in self._expected]

    def make(self, configs: Iterable[RunConfig]) -> None:
        """Make the missing runs."""
        by_folder = {self._folder(config): config for config in sorted(configs, key=_turn)}
        todo = [item for item in by_folder.items() if item[0] not in self.finished]
        with closing(
            runs_in_parallel(todo, self._jobs, self._device)
            if self._cluster is None
            else runs_on_cluster(
                [(folder, config, self._digests[_source(config)]) for folder, config in todo],
                self._cluster,
                self.out,
                self._fingerprint,
            )
        ) as results:
            for folder, run in results:
                self.finished[folder] = run
                self._tell()

    def _tell(self) -> None:
        if self._on_run is None:
            return
        done = sum(self._expected.get(run.config.key, 0) for run in self.finished.values())
        news = len(self.expected), len(self._expected), done / max(sum(self._expected.values()), 1)
        if news != self._told:
            self._told = news
            self._on_run(*news)

    def _folder(self, config: RunConfig) -> Path:
        # Runs on other data, of other versions, of another machine or of other code are not mixed with these, and
        # not lost either.
        text = f"{config.key} {self._digests[_source(config)]} {to_json(self._fingerprint)}"
        return self.out / "runs" / hashlib.sha256(text.encode()).hexdigest()[:16]


def _judged(claims: Sequence[Claim], preset: Preset, rate: Callable[[Search], float]) -> list[RunConfig]:
    return _different(config for claim in claims for config in claim.runs(preset, rate))


def _different(configs: Iterable[RunConfig]) -> list[RunConfig]:
    return list({config.key: config for config in configs}.values())


def _source(config: RunConfig) -> _Source:
    """Return the identity of a data set."""
    return config.task, config.data, tuple(sorted(config.data_options.items()))


def _loaded(source: _Source) -> LabelledData:
    task, name, options = source
    with one_thread():
        return load_data(task, name, **dict(options))


def _turn(config: RunConfig) -> tuple[int, str, str]:
    # The very long runs first, so that no worker is left with one when the others are done; the rest by their data,
    # so that a worker loads each set once; the runs on one set mixed, so that progress on it is even.
    return -(config.steps // 10_000), str(_source(config)), config.key


def _finished(folder: Path) -> Run | None:
    run = RunFolder(folder)
    return run.read() if run.finished else None
