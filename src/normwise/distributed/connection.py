"""Connections for the collectives of one direction of passes, separate from other messages."""

from datetime import timedelta
from typing import Any, Protocol
from weakref import ref

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store

# Its names since torch 2.13, and before.
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
#: Seconds that a rank without batches waits for the next pass of the others, as in torch's own collectives.
_COMPANY = 1800.0


class Connection(Protocol):
    """Two collectives that are started without waiting."""

    def all_gather(self, found: Tensor, message: Tensor) -> dist.Work | None:
        """Gather the messages of all ranks into ``found``."""
        ...

    def all_reduce(self, message: Tensor) -> dist.Work | None:
        """Sum the messages of all ranks in place."""
        ...

    def close(self) -> None:
        """End the connection's own threads, if any."""
        ...


class GroupConnection:
    """Collectives of the process group itself, which CUDA's streams keep in order."""

    def __init__(self, group: dist.ProcessGroup) -> None:
        self._weak_group = ref(group)

    def all_gather(self, found: Tensor, message: Tensor) -> dist.Work | None:
        """See :class:`Connection`."""
        return _all_gather(found, message, group=self._weak_group(), async_op=True)

    def all_reduce(self, message: Tensor) -> dist.Work | None:
        """See :class:`Connection`."""
        return dist.all_reduce(message, group=self._weak_group(), async_op=True)

    def close(self) -> None:
        """See :class:`Connection`."""


class GlooConnection:
    """Collectives over separate sockets between the ranks of a group.

    ``torch.distributed.new_group`` would need a name that all ranks agree on, and its names depend on how many groups
    a rank is in.

    Args:
        group: Process group of the ranks.
        name: Name of the connection, the same on all ranks.
        timeout: Seconds to wait for the other ranks to connect.

    Raises:
        RuntimeError: a rank did not connect in time.
    """

    def __init__(self, group: dist.ProcessGroup, name: str, timeout: float) -> None:
        store = PrefixStore(f"normwise/{name}", store_of(group))
        # The stub of a backend does not know collectives.
        self._backend: Any = dist.ProcessGroupGloo(
            store, dist.get_rank(group), dist.get_world_size(group), timedelta(seconds=timeout)
        )
        self._backend._set_default_timeout(timedelta(seconds=_COMPANY))

    def all_gather(self, found: Tensor, message: Tensor) -> dist.Work | None:
        """See :class:`Connection`."""
        return self._backend._allgather_base(found, message)

    def all_reduce(self, message: Tensor) -> dist.Work | None:
        """See :class:`Connection`."""
        return self._backend.allreduce([message])

    def close(self) -> None:
        """See :class:`Connection`."""
        self._backend = None


def uses_gloo(group: dist.ProcessGroup, device: torch.device) -> bool:
    """Return whether a group's tensors on a device are sent by gloo's sockets."""
    return device.type == "cpu" and "gloo" in str(dist.get_backend_config(group))


def store_of(group: dist.ProcessGroup) -> Store:
    """Return the store that the ranks of a group share."""
    return dist.distributed_c10d._world.pg_map[group][1]
