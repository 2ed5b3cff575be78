"""Base of layers with the statistics of all ranks of a process group."""

import torch
import torch.distributed as dist
from torch import nn

from normwise.distributed import RankUnion, union_of
from normwise.errors import ArgumentError
from normwise.nn.layer_path import remembered_name
from normwise.nn.tools.shared_object import Shared

_LONGEST = 30 * 24 * 3600.0


class Synchronised(nn.Module):
    """Base of synchronised layers, with their process group and timeout."""

    timeout: float
    _group: Shared

    def synchronise(self, process_group: dist.ProcessGroup | None, timeout: float) -> None:
        """Set the ranks whose batches count as one, and the seconds that a rank waits for the others.

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
        """Return the ranks whose batches count as one; None for all ranks."""
        return self._group.value

    @process_group.setter
    def process_group(self, group: dist.ProcessGroup | None) -> None:
        self._group = Shared(group)

    @process_group.deleter
    def process_group(self) -> None:
        del self._group

    def rank_union(self, device: torch.device) -> RankUnion | None:
        """Return the collectives that merge the statistics of the ranks; None if this process is the only one."""
        if not (dist.is_available() and dist.is_initialized()):
            return None
        return union_of(self.process_group, remembered_name(self), device, self.timeout)
