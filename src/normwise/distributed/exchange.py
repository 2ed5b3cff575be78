"""Collectives that can't be mistaken for one another: messages of one size, which say at which layer a rank is."""

from collections import deque
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from normwise.distributed.missing import ADVICE, explained
from normwise.distributed.place import HEADER, Place, header, name_in
from normwise.errors import DistributedError

# Its name from torch 2.13 on, and before.
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
#: Values of a message before any layer asked for more: those of 63 channels.
_FIRST = 127


class Exchange:
    """The collectives of all synchronised layers in one process group, on one kind of device.

    gloo ends the process where ranks send messages of different sizes, and NCCL hangs. So all messages of a direction
    have one size, that of the widest layer so far: a wider layer sends its rest in a second message, the first time.
    Each message says of which layer it is. On a CPU the forward passes meet in a group of their own and the backward
    passes in another, apart from what others, such as ``DistributedDataParallel``, send in theirs.

    Attributes:
        ranks: Ranks of the group.
        timeout: Seconds after which a rank that waits for others gives up; None where the backend's limit holds.
    """

    def __init__(self, group: dist.ProcessGroup, device: torch.device, timeout: float) -> None:
        self.ranks = dist.get_process_group_ranks(group)
        self.timeout: float | None = None
        self._forward = self._backward = group
        self._gathered = self._summed = _FIRST
        self._unread: deque[tuple[torch.cuda.Event, Tensor, Place]] = deque()
        if device.type == "cpu" and "gloo" in str(dist.get_backend_config(group)):
            self.timeout = timeout
            self._forward, self._backward = _own_group(self.ranks), _own_group(self.ranks)

    def gather(self, own: Tensor, place: Place | None) -> Tensor:
        """Return ``(ranks, values)``, float64: the values of each rank, 0 for ranks that take no part.

        Args:
            own: Float64 ``(values,)`` of this rank.
            place: Layer and pass; None for a rank that only keeps the others from waiting, and has no values.

        Raises:
            DistributedError: another rank is at another place, or did not come.
        """
        message = _message(own, place, self._gathered)
        found = self._all_gather(message, place)
        heads = found[:, :HEADER]
        self._check_places(heads, place)
        values = int(heads[:, 2].max()) if place is None else place.values
        found = found[:, HEADER : HEADER + values]
        if values > self._gathered:
            rest = _rest(own, values, self._gathered)
            found = torch.cat([found, self._all_gather(rest, place)], 1)
            self._gathered = values
        return found

    def sum(self, own: Tensor, place: Place | None) -> Tensor:
        """Return float64 ``(values,)``, added up over the ranks; see :meth:`gather`."""
        message = _message(own, place, self._summed)
        self._all_reduce(message, place)
        head = message[:HEADER]
        self._check_sums(head, place)
        values = int(head[3] / head[0].clamp(min=1)) if place is None else place.values
        found = message[HEADER : HEADER + values]
        if values > self._summed:
            rest = _rest(own, values, self._summed)
            self._all_reduce(rest, place)
            found = torch.cat([found, rest])
            self._summed = values
        return found

    def _all_gather(self, message: Tensor, place: Place | None) -> Tensor:
        found = message.new_empty(len(self.ranks) * len(message))
        self._meet(lambda: _all_gather(found, message, group=self._forward, async_op=True), place)
        return found.view(len(self.ranks), -1)

    def _all_reduce(self, message: Tensor, place: Place | None) -> None:
        self._meet(lambda: dist.all_reduce(message, group=self._backward, async_op=True), place)

    def _meet(self, begin: Callable[[], dist.Work | None], place: Place | None) -> None:
        """Wait for a collective; a rank without a place waits as long as the backend does."""
        self._read_checks()
        try:
            work = begin()
            if work is None:
                return
            if self.timeout is None or place is None:
                work.wait()
            else:
                work.wait(timedelta(seconds=self.timeout))
        except RuntimeError as error:
            if place is None:
                raise DistributedError(
                    f"another rank ended while this one kept it company: {error}"
                ) from None
            raise explained(place, error, self.ranks, self.timeout) from None

    def _check_places(self, heads: Tensor, place: Place | None) -> None:
        """Raise an error unless all ranks are at the same place."""
        if place is None:
            return
        if heads.is_cuda:
            # To look at it now would wait for the GPU.
            event = torch.cuda.Event()
            kept = torch.empty(heads.shape, dtype=heads.dtype, pin_memory=True).copy_(
                heads, non_blocking=True
            )
            event.record()
            self._unread.append((event, kept, place))
            return
        wrong = (heads[:, 0] > 0) & (heads[:, 1] != place.tag)
        if wrong.any():
            raise _elsewhere(heads, place, self.ranks)

    def _read_checks(self) -> None:
        """Raise an error of an earlier call on a GPU, if what it received has come by now."""
        while self._unread and self._unread[0][0].query():
            _, heads, place = self._unread.popleft()
            if ((heads[:, 0] > 0) & (heads[:, 1] != place.tag)).any():
                raise _elsewhere(heads, place, self.ranks)

    def _check_sums(self, head: Tensor, place: Place | None) -> None:
        # A GPU would be waited for; where a backward pass is out of step there, the next forward pass tells.
        if place is None or head.is_cuda:
            return
        ranks, tags, squares = head[:3].tolist()
        # Only equal numbers have both the sum and the sum of squares of as many times one of them.
        if (tags, squares) == (ranks * place.tag, ranks * place.tag**2):
            return
        # All ranks see that, and are here: they tell one another where they are.
        told = Place(place.layer, "forward", 0)
        heads = head.new_empty(len(self.ranks) * HEADER)
        _all_gather(heads, header(told, head.device), group=self._backward)
        raise _elsewhere(heads.view(-1, HEADER), place, self.ranks)


def _own_group(ranks: list[int]) -> dist.ProcessGroup:
    group = dist.new_group(ranks, backend="gloo", use_local_synchronization=True)
    if not isinstance(group, dist.ProcessGroup):
        raise RuntimeError(f"no process group of the ranks {ranks} could be made")
    return group


def _message(own: Tensor, place: Place | None, most: int) -> Tensor:
    message = own.new_zeros(HEADER + most)
    message[:HEADER] = header(place, own.device)
    message[HEADER : HEADER + min(len(own), most)] = own[:most]
    return message


def _rest(own: Tensor, values: int, sent: int) -> Tensor:
    rest = own.new_zeros(values - sent)
    rest[: max(len(own) - sent, 0)] = own[sent:]
    return rest


def _elsewhere(heads: Tensor, place: Place, ranks: list[int]) -> DistributedError:
    """Return the error for ranks that are at different layers."""
    where = [
        f"rank {rank} " + (f"is at {name_in(head)}" if head[0] > 0 else "has no more batches")
        for rank, head in zip(ranks, heads, strict=True)
    ]
    return DistributedError(f"{place}: the ranks are not at the same layer: {', '.join(where)}. {ADVICE}")
