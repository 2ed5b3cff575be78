"""Clusters and workers that a study can't be made on, each with one clear error."""

import logging
import re
import sys
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import pytest

from normwise.errors import ArgumentError, ClusterError, MissingPackageError
from normwise.records import RunConfig
from normwise.studies import Cluster
from normwise.studies.cluster import cluster_runs, study_access
from normwise.studies.cluster.joblib_backend import ClusterBackend, JoblibBatch
from normwise.studies.cluster.study_access import access_to
from normwise.studies.fingerprint import Fingerprint
from tests.support.cluster.clusters import running_cluster

_RUN = RunConfig("dense_bn", "digits", "batch", 5, 20, 0.1, 0, 5, train_samples=100, test_samples=50)


def test_a_backend_that_is_not_known_is_an_error() -> None:
    with pytest.raises(ArgumentError, match=r"^unknown backend 'spark'; known are loky, dask, ray$"):
        Cluster("spark", "tcp://host:1")


@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_a_cluster_needs_an_address(kind: str) -> None:
    with pytest.raises(ArgumentError, match=rf"^the backend {kind} needs the address of a cluster, such as "):
        Cluster(kind, "")


@pytest.mark.parametrize(("kind", "library"), [("dask", "distributed"), ("ray", "ray")])
def test_a_library_that_is_missing_is_named_with_the_command_that_installs_it(
    kind: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"normwise.studies.cluster.{kind}_backend", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    expected = (
        rf"the backend {kind} needs {library}, which is not installed: pip install 'normwise\[{kind}\]'$"
    )
    with pytest.raises(MissingPackageError, match=expected):
        Cluster(kind, "127.0.0.1:1").connected()


@pytest.mark.parametrize("kind", ["dask", "ray"])
@pytest.mark.parametrize("address", ["nonsense", "http://host:80", "host:99999", "host:", "tcp://"])
def test_what_is_no_address_is_an_error(kind: str, address: str) -> None:
    pytest.importorskip({"dask": "distributed"}.get(kind, kind))
    with (
        pytest.raises(ClusterError, match=rf"^'{address}' is not an address of a "),
        _connected(kind, address),
    ):
        pass


@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_an_address_where_nobody_answers_is_an_error(kind: str) -> None:
    pytest.importorskip({"dask": "distributed"}.get(kind, kind))
    with (
        pytest.raises(ClusterError, match=r"^no .* answers at 127.0.0.1:1 within 0.5 s .*; start one by: "),
        _connected(kind, "127.0.0.1:1"),
    ):
        pass


def test_a_scheduler_without_workers_is_an_error_and_logs_are_as_before() -> None:
    with running_cluster("dask", workers=0) as address:
        before = logging.getLogger("distributed").level
        with (
            pytest.raises(ClusterError, match=r"has had no worker for 0.5 s; start some by: dask worker "),
            Cluster("dask", address, seconds=60.0, worker_seconds=0.5).connected(),
        ):
            pass
        assert logging.getLogger("distributed").level == before


def _connected(kind: str, address: str) -> Any:
    return Cluster(kind, address, seconds=0.5).connected()


def test_a_worker_that_is_fit_makes_the_run(tmp_path: Path) -> None:
    with access_to(tmp_path, Fingerprint.here()) as access:
        folder, run = cluster_runs.train_here(tmp_path / "run", _RUN, _digits_sha256(), access)
    assert folder == tmp_path / "run"
    assert run.result is not None
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_a_worker_with_other_versions_is_refused(tmp_path: Path) -> None:
    here = Fingerprint.here()
    other = replace(here, environment=replace(here.environment, torch="0.1"))
    with (
        access_to(tmp_path, other) as access,
        pytest.raises(
            ClusterError,
            match=rf"than the study: torch is {re.escape(here.environment.torch)}, expected 0.1\.",
        ),
    ):
        cluster_runs.train_here(tmp_path / "run", _RUN, _digits_sha256(), access)
    assert not (tmp_path / "run").exists()


def test_a_worker_that_does_not_see_the_folder_is_refused(tmp_path: Path) -> None:
    with access_to(tmp_path, Fingerprint.here()) as access:
        elsewhere = replace(access, token=tmp_path / "elsewhere" / access.token.name)
        expected = rf"does not see the study's folder {tmp_path}/elsewhere: .*No such file.* by --out$"
        with pytest.raises(ClusterError, match=expected):
            elsewhere.check()


def test_another_folder_of_the_same_name_is_not_taken_for_it(tmp_path: Path) -> None:
    with access_to(tmp_path, Fingerprint.here()) as access:
        access.token.write_text("another study's")
        with pytest.raises(ClusterError, match="has another content there"):
            access.check()


def test_a_worker_with_other_data_is_refused(tmp_path: Path) -> None:
    with (
        access_to(tmp_path, Fingerprint.here()) as access,
        pytest.raises(ClusterError, match=r"^the data of digits are others on a worker"),
    ):
        cluster_runs.train_here(tmp_path / "run", _RUN, "0" * 64, access)


def test_two_runs_at_once_in_a_process_are_refused(tmp_path: Path) -> None:
    with (
        access_to(tmp_path, Fingerprint.here()) as access,
        cluster_runs._ONE_RUN,
        pytest.raises(ClusterError, match=r"two runs at once.*--nthreads 1$"),
    ):
        cluster_runs.train_here(tmp_path / "run", _RUN, _digits_sha256(), access)


def test_a_run_stops_when_the_study_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_access, "_LOOKS", 0.0)
    with access_to(tmp_path, Fingerprint.here()) as access:
        look = access.until_over()
        look(1, 0.0, None)
    with pytest.raises(ClusterError, match="has stopped a run at step 2: the study is over"):
        look(2, 0.0, None)


class _OneSlot(ClusterBackend):
    """A cluster with one worker, which notes what it is given, and fails with an error of its own."""

    def __init__(self, outcome: BaseException | None = None) -> None:
        super().__init__()
        self.outcome, self.given, self.aborted = outcome, 0, False

    def slots(self) -> int:
        return 1

    def start(self, batch: JoblibBatch) -> "Future[list[Any]]":
        self.given += 1
        future: Future[list[Any]] = Future()
        if self.outcome is None:
            future.set_result(batch())
        else:
            future.set_exception(self.outcome)
        return future

    def explain(self, error: BaseException, run: Path) -> BaseException:
        return ClusterError(f"{run}: {error}")

    def abort_everything(self, ensure_ready: bool = True) -> None:
        self.aborted = True


def _resolved(backend: ClusterBackend) -> list[Any]:
    parallel = joblib.Parallel(
        n_jobs=-1, backend=backend, pre_dispatch="all", return_as="generator_unordered"
    )
    return list(parallel([joblib.delayed(Path)(Path(name)) for name in "abc"]))


def test_a_cluster_of_one_worker_makes_the_runs_and_not_this_process() -> None:
    backend = _OneSlot()
    assert sorted(_resolved(backend)) == [Path("a"), Path("b"), Path("c")]
    assert backend.given == 3


def test_a_task_that_the_cluster_gives_up_is_an_error_and_not_waited_for() -> None:
    backend = _OneSlot(RuntimeError("lost"))
    with pytest.raises(ClusterError, match=r"^a: lost$"):
        _resolved(backend)
    assert backend.aborted


def test_a_worker_without_normwise_is_an_error_that_says_so() -> None:
    class Missing(_OneSlot):
        def explain(self, error: BaseException, run: Path) -> BaseException:
            return error

    with pytest.raises(
        ClusterError, match=r"^a worker of the cluster can't import normwise; install the same"
    ):
        _resolved(Missing(ModuleNotFoundError("No module named 'normwise.studies'")))


def _digits_sha256() -> str:
    return cluster_runs.load_data(_RUN.task, _RUN.data, **_RUN.data_options).sha256
