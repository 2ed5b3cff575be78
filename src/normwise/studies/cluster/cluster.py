"""Clusters for studies, by name and address."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from normwise.errors import ArgumentError
from normwise.extras import needs_extra

if TYPE_CHECKING:
    from normwise.studies.cluster.joblib_backend import ClusterBackend

#: Function that connects to each kind of cluster, and an address of it; imported when it is asked for.
_KINDS = {
    "dask": ("normwise.studies.cluster.dask_backend:connected", "tcp://HOST:8786"),
    "ray": ("normwise.studies.cluster.ray_backend:connected", "HOST:6379"),
}


@dataclass(frozen=True)
class Cluster:
    """Kind and address of a cluster that is running.

    Attributes:
        backend: "dask" or "ray".
        address: Address of Dask's scheduler, such as "tcp://HOST:8786", or of Ray's head, such as "HOST:6379".
        seconds: Time within which the scheduler must answer.
        worker_seconds: Time within which it must have a worker.
    """

    backend: str
    address: str
    seconds: float = 10.0
    worker_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.backend not in _KINDS:
            raise ArgumentError(f"unknown backend {self.backend!r}; known are loky, {', '.join(_KINDS)}")
        if not self.address:
            raise ArgumentError(
                f"the backend {self.backend} needs the address of a cluster, such as {_KINDS[self.backend][1]}; give "
                "it by --address (docs/processes/clusters.md says how to start one)"
            )

    def connected(self) -> "AbstractContextManager[ClusterBackend]":
        """Connect to the cluster, and disconnect at the end.

        Raises:
            ClusterError: the address does not answer, or there is no worker.
            MissingPackageError: the library of the backend is not installed.
        """
        with needs_extra(self.backend, f"the backend {self.backend}"):
            connected: Callable[[str, float, float], AbstractContextManager[ClusterBackend]] = resolve_name(
                _KINDS[self.backend][0]
            )
        return connected(self.address, self.seconds, self.worker_seconds)
