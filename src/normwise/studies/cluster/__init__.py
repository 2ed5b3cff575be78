"""A study's runs on a cluster, by Dask or by Ray."""

from normwise.studies.cluster.cluster import Cluster
from normwise.studies.cluster.cluster_runs import runs_on_cluster

__all__ = ["Cluster", "runs_on_cluster"]
