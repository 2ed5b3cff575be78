"""Studies on real clusters of this machine."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cluster.cluster_study import study_of_six_runs
from tests.support.cluster.clusters import holder_of, running_cluster, wait_until

pytestmark = [
    # On a machine with much else to do the imports of a dozen processes took four minutes.
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not Path("/proc/self/fd").exists(), reason="no /proc, which tells who holds the lock of a run"
    ),
]


@contextmanager
def _study(folder: Path | str, cluster: tuple[str, str], **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Start a study of six runs, and end it; on standard error is what Ray says about killed workers."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.cluster.cluster_study", str(folder), *cluster],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **variables},
    ) as study:
        try:
            yield study
        finally:
            study.kill()


def _said(study: subprocess.Popen[str]) -> list[str]:
    return study.communicate(timeout=400)[0].splitlines()


def _at_work(out: Path) -> tuple[Path, int]:
    """Return a run that a worker is in the middle of, and the worker."""
    found: list[tuple[Path, int]] = []

    def look() -> bool:
        for metrics in out.glob("runs/*/metrics.jsonl"):
            if 2 <= metrics.read_bytes().count(b"\n") < 11:
                worker = holder_of(metrics.with_name(".lock"))
                if worker is not None:
                    found.append((metrics.parent, worker))
        return bool(found)

    wait_until(look, lambda: "no worker is at work")
    return found[0]


@pytest.fixture(scope="module", params=["dask", "ray"])
def cluster(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Kind and address of a cluster of two worker processes, which are started anew when they die."""
    with running_cluster(request.param) as address:
        yield request.param, address


def test_with_a_worker_killed_no_run_is_lost_or_counted_twice(
    cluster: tuple[str, str], tmp_path: Path
) -> None:
    out, local = tmp_path / "cluster", tmp_path / "local"
    with _study(out, cluster) as study:
        _, worker = _at_work(out)
        os.kill(worker, signal.SIGKILL)
        assert _said(study) == [f"{done} of 6" for done in range(7)]
    study_of_six_runs(local)
    assert len(list(out.glob("runs/*"))) == len(list(local.glob("runs/*"))) == 6
    for path in local.glob("runs/*/*"):
        if path.name not in ("timing.json", ".lock"):
            assert path.read_bytes() == (out / path.relative_to(local)).read_bytes()
    assert {path.name for path in out.iterdir()} == {"runs", "study.json"}


def test_a_run_that_kills_every_worker_is_named(cluster: tuple[str, str]) -> None:
    with _study("--kills", cluster) as study:
        # Ray may tell of the workers before, and after.
        errors = [line for line in _said(study) if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0].startswith("error: the run poisoned was given up: its worker died 4 times")


def test_when_a_study_is_interrupted_its_workers_stop(cluster: tuple[str, str], tmp_path: Path) -> None:
    with _study(tmp_path, cluster) as study:
        run, _ = _at_work(tmp_path)
        study.send_signal(signal.SIGINT)
        assert "6 of 6" not in _said(study)
    wait_until(lambda: holder_of(run / ".lock") is None)


def test_workers_with_other_kernels_are_refused(
    cluster: tuple[str, str], kernels: None, tmp_path: Path
) -> None:
    with _study(tmp_path, cluster, NORMWISE_KERNELS="torch") as study:
        *_, error = _said(study)
    assert error.startswith("error: the worker ")
    assert " computes with something else than the study: " in error
    assert ", expected torch" in error
    assert not list(tmp_path.glob("runs/*"))
