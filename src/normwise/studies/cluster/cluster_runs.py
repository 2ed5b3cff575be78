"""Runs made by the workers of a cluster."""

import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import cast

import torch

from normwise.data import load_data
from normwise.errors import ClusterError
from normwise.extras import needs_extra
from normwise.records import Run, RunConfig
from normwise.studies.cluster.cluster import Cluster
from normwise.studies.cluster.study_access import StudyAccess, access_to
from normwise.studies.fingerprint import Fingerprint
from normwise.studies.workers import quietly
from normwise.training import train

#: Held by the run that this process makes.
_ONE_RUN = threading.Lock()


def runs_on_cluster(
    todo: Sequence[tuple[Path, RunConfig, str]], cluster: Cluster, out: Path, fingerprint: Fingerprint
) -> Generator[tuple[Path, Run], None, None]:
    """Make runs on a cluster, and yield each with its folder when it has ended.

    A run whose worker dies is made by another one, from its last checkpoint on. When the caller stops or is
    interrupted, the workers stop within seconds.

    Args:
        todo: Folder, configuration and SHA-256 of the data of each run.
        cluster: Cluster that makes the runs.
        out: Folder of the study, which all workers share; absolute.
        fingerprint: Fingerprint of the study, which each worker must have.

    Raises:
        ClusterError: the cluster can't be used, or gives up a run.
        MissingPackageError: joblib or the library of the cluster is not installed.
    """
    if not todo:
        return
    with needs_extra(cluster.backend, f"the backend {cluster.backend}"):
        import joblib
    with cluster.connected() as backend, access_to(out, fingerprint) as access:
        # All at once: it is the cluster that knows who is free, and workers may come later.
        parallel = joblib.Parallel(
            n_jobs=-1, backend=backend, pre_dispatch="all", return_as="generator_unordered"
        )
        tasks = (joblib.delayed(train_here)(*run, access) for run in todo)
        # joblib's stub has the type of a list of results, not of this generator.
        results = cast("Generator[tuple[Path, Run], None, None]", parallel(tasks))
        try:
            yield from results
        except BaseException:
            with quietly():
                results.close()
            raise


def train_here(folder: Path, config: RunConfig, data_sha256: str, access: StudyAccess) -> tuple[Path, Run]:
    """Make a run in this process, a worker's.

    Raises:
        ClusterError: this worker can't make the study's runs.
    """
    access.check()
    if not _ONE_RUN.acquire(blocking=False):
        raise ClusterError(
            "a worker was given two runs at once, and torch's random state is one for all threads of a process; start "
            "workers with one thread each: dask worker ADDRESS --nworkers N --nthreads 1"
        )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if load_data(config.task, config.data, **config.data_options).sha256 != data_sha256:
            raise ClusterError(
                f"the data of {config.data} are others on a worker than those of the study; make them the same, or "
                "put them into a folder that all machines share"
            )
        return folder, train(config, folder, resume=True, wait=True, on_step=access.until_over())
    finally:
        torch.set_num_threads(threads)
        _ONE_RUN.release()
