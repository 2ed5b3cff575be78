"""Studies on a cluster as programs: python -m tests.support.cluster.cluster_study FOLDER|--kills KIND ADDRESS."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import joblib

from normwise.errors import ClusterError
from normwise.records import Run, RunConfig
from normwise.studies import Claim, Cluster, Judgement, Preset, preset_named, run_study


class SixRuns(Claim):
    """Six runs of about a second each."""

    number, name, statement, falsifier, rule, sources = 1, "six_runs", "s", "f", "r", ()

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return ("p",)

    def runs(self, preset: Preset) -> tuple[RunConfig, ...]:
        return tuple(
            RunConfig(
                "dense_bn", "digits", "batch", 1000, 20, lr, seed, 100, train_samples=100, test_samples=50
            )
            for seed in preset.seeds
            for lr in (0.1, 0.2)
        )

    def judge(self, preset: Preset, runs: Sequence[Run]) -> Judgement:
        assert [run.config for run in runs] == list(self.runs(preset))
        return Judgement("supported", "sentence", (), ())


def study_of_six_runs(folder: Path, cluster: Cluster | None = None) -> None:
    """Make the study, and print each number of finished runs, or the error."""
    try:
        run_study(
            preset_named("quick"),
            [SixRuns()],
            folder,
            cluster=cluster,
            on_run=lambda done, total, share: print(done, "of", total, flush=True),
        )
    except ClusterError as error:
        print(f"error: {error}")


def run_that_kills(cluster: Cluster) -> None:
    """Have a call made that kills each process that makes it, and print the error."""
    with cluster.connected() as backend:
        parallel = joblib.Parallel(n_jobs=-1, backend=backend, pre_dispatch="all")
        try:
            parallel([joblib.delayed(_kill)(Path("poisoned")), joblib.delayed(Path)(Path("sound"))])
        except ClusterError as error:
            print(f"error: {error}")


def _kill(run: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    folder, kind, address = sys.argv[1:]
    if folder == "--kills":
        run_that_kills(Cluster(kind, address))
    else:
        study_of_six_runs(Path(folder), Cluster(kind, address))
