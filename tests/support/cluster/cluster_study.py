"""Studies on a cluster as programs: python -m tests.support.cluster.cluster_study FOLDER|--kills KIND ADDRESS."""

import os
import signal
import sys
from pathlib import Path

import joblib

from normwise.errors import ClusterError
from normwise.records import RunConfig
from normwise.studies import Cluster, Preset, preset_named, run_study
from tests.support.studies.small_claim import SmallClaim


class SixRuns(SmallClaim):
    """Six runs of about a second each."""

    name = "six_runs"
    arms = tuple(
        RunConfig("dense_bn", "digits", "batch", 1000, 20, lr, 0, 100, train_samples=100, test_samples=50)
        for lr in (0.1, 0.2)
    )

    def seeds(self, preset: Preset) -> tuple[int, ...]:
        return preset.seeds[:3]


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
