"""Layers whose statistics are those of all ranks of a process group."""

import torch
import torch.distributed as dist
from torch import nn

from normwise.distributed import RankUnion, union_of
from normwise.errors import ArgumentError
from normwise.nn.layer_path import remembered_name
from normwise.nn.tools.shared_object import Shared

_LONGEST = 30 * 24 * 3600.0


class Synchronised(nn.Module):
    """Base of synchronised layers: their process group, and how long a rank waits for the others."""

    timeout: float
    _group: Shared

    def synchronise(self, process_group: dist.ProcessGroup | None, timeout: float) -> None:
        """Set the ranks whose batches are taken together, and the seconds that a rank waits for the others.

        Raises:
            ArgumentError: the timeout is not positive, or longer than a month.
        """
        if not 0 < timeout <= _LONGEST:
            raise ArgumentError(
                f"timeout must be a number of seconds above 0 and at most {_LONGEST:g}, got {timeout}"
            )
        self.process_group = process_group
        self.timeout = timeout

    @property
    def process_group(self) -> dist.ProcessGroup | None:
        """The ranks whose batches are taken together; None for all."""
        return self._group.value

    @process_group.setter
    def process_group(self, group: dist.ProcessGroup | None) -> None:
        self._group = Shared(group)

    @process_group.deleter
    def process_group(self) -> None:
        del self._group

    def rank_union(self, device: torch.device) -> RankUnion | None:
        """Return what merges the statistics of the ranks; None where this process is alone."""
        if not (dist.is_available() and dist.is_initialized()):
            return None
        return union_of(self.process_group, remembered_name(self), device, self.timeout)
