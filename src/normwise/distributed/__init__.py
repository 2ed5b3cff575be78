"""Collectives of layers with the statistics of several processes."""

from normwise.distributed.joined import joined
from normwise.distributed.union import RankUnion, union_of

__all__ = ["RankUnion", "joined", "union_of"]
