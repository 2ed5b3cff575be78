"""Union of the batches of all processes, which merges their moments and sums."""

import atexit
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
from torch import Tensor

from normwise.distributed.exchange import Exchange
from normwise.distributed.place import Place
from normwise.errors import DistributedError
from normwise.kernels.torch_backend.primitives import ChannelMoments

#: Exchanges by group and kind of device. The exchange of a destroyed group must end: a gloo thread that is
#: still busy when Python exits aborts the process.
_exchanges: WeakKeyDictionary[dist.ProcessGroup, dict[str, Exchange]] = WeakKeyDictionary()


@dataclass
class RankUnion:
    """Union of the batches of all ranks of a group, at one call of a layer; a :class:`normwise.kernels.merged.Merger`.

    Attributes:
        exchange: Collectives of the group.
        layer: Class and path of the layer.
        timeout: Seconds that a rank waits for the others.
        call: Number of the last forward pass in the group.
    """

    exchange: Exchange
    layer: str
    timeout: float
    call: int = 0

    def moments(self, own: ChannelMoments) -> ChannelMoments:
        """Return the moments of all ranks, by one collective of ``2 C + 1`` values per rank.

        Moments of several batches, ``(K,)`` and ``(K, C)``, are merged separately, also in one collective.
        """
        sizes = [part.numel() for part in own]
        values = torch.cat([part.flatten() for part in own])
        place = Place(self.layer, "forward", len(values), self.timeout)
        found = self.exchange.gather(values.double(), place)
        self.call = self.exchange.calls
        counts, means, variances = (
            of_ranks.reshape(-1, *part.shape)
            for of_ranks, part in zip(found.split(sizes, 1), own, strict=True)
        )
        total = counts.sum(0)
        shares = (counts / total.clamp(min=1)).unsqueeze(-1)
        # Relative to the mean of a rank that has values, so that differences are summed.
        most = counts.argmax(0, keepdim=True).unsqueeze(-1)
        first = means.gather(0, most.expand_as(means[:1]))[0]
        union_mean = first + (shares * (means - first)).sum(0)
        union_variance = (shares * (variances + (means - union_mean).square())).sum(0)
        kinds = [part.dtype for part in own]
        parts = (total, union_mean, union_variance)
        return ChannelMoments(*(part.to(kind) for part, kind in zip(parts, kinds, strict=True)))

    def largest(self, own: int, device: torch.device) -> int:
        """Return the largest of the ranks' numbers, by one collective for which the host waits."""
        value = torch.tensor([own], dtype=torch.float64, device=device)
        return int(self.exchange.gather(value, Place(self.layer, "forward", 1, self.timeout)).max())

    def gradient_sums(self, own: Tensor) -> Tensor:
        """Return the sum of ``(2, C)``, or ``(2, K, C)``, over the ranks, by one collective."""
        place = Place(self.layer, "backward", own.numel(), self.timeout)
        return self.exchange.sum(own.double().flatten(), place, self.call).view(own.shape).to(own.dtype)


def union_of(
    group: dist.ProcessGroup | None, layer: str, device: torch.device, timeout: float
) -> RankUnion | None:
    """Return the union of the ranks' batches; None if this process is the only one.

    Args:
        group: Process group; None for all processes.
        layer: Class and path of the layer, for errors and checks.
        device: Device of the tensors.
        timeout: Most seconds that a rank waits for the others, with gloo.

    Raises:
        DistributedError: this process is not in the group, or the ranks could not be connected.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return None
    found = dist.group.WORLD if group is None else group
    if not isinstance(found, dist.ProcessGroup) or dist.get_rank(found) < 0:
        raise DistributedError(
            f"{layer}: rank {dist.get_rank()} is not in the layer's process group; give each rank the group that "
            "it is in"
        )
    if dist.get_world_size(found) == 1:
        return None
    of_group = _exchanges.setdefault(found, {})
    if device.type not in of_group:
        # An exchange that could not connect stays, and raises at each call.
        of_group[device.type] = Exchange(found, device)
        of_group[device.type].connect(Place(layer, "forward", 0, timeout))
    return RankUnion(of_group[device.type], layer, timeout)


@atexit.register
def _close() -> None:
    for of_group in _exchanges.values():
        for exchange in of_group.values():
            exchange.close()
