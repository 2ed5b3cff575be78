"""Collectives with a check: messages of one size, which say at which layer a rank is."""

from collections import deque
from threading import Lock
from weakref import ref

import torch
import torch.distributed as dist
from torch import Tensor

from normwise.distributed.connection import Connection, GlooConnection, GroupConnection, uses_gloo
from normwise.distributed.meet import meet
from normwise.distributed.missing import ADVICE, explained, leave_word
from normwise.distributed.place import HEADER, Place, agree, header, name_in, sum_header
from normwise.errors import DistributedError

#: Initial number of values in a message: those of 63 channels.
FIRST = 127
#: Most values of a first message, those of 4096 channels: all layers send this size.
MOST = 8193


class Exchange:
    """Collectives of all synchronised layers in one process group, on one kind of device.

    If ranks send messages of different sizes, gloo aborts the process, and NCCL hangs. So all messages of a
    direction have one size, that of the widest layer so far: a wider layer sends its remaining values in a second
    message, the first time only, or each time if it has more than ``MOST`` values. Each message names its layer. On
    a CPU, forward passes and backward passes use separate sockets, apart from other messages, such as those of
    ``DistributedDataParallel``.

    After a collective that a rank missed, that rank's next message would be mistaken for an answer to another one.
    So every later collective is an error.

    Attributes:
        ranks: Ranks of the group.
        calls: Number of synchronised forward passes.
    """

    def __init__(self, group: dist.ProcessGroup, device: torch.device) -> None:
        self.ranks = dist.get_process_group_ranks(group)
        self.calls = 0
        self._weak_group = ref(group)
        self._limited = uses_gloo(group, device)
        self._forward: Connection = GroupConnection(group)
        self._backward: Connection = self._forward
        self._gathered = self._summed = FIRST
        self._locks = {"forward": Lock(), "backward": Lock()}
        self._lost: str = ""
        #: Headers that are being copied from a GPU: for forward passes with the place, for backward passes
        #: also with the call.
        self._unread: deque[tuple[torch.cuda.Event, Tensor, Place | None, int | None]] = deque()

    @property
    def apart(self) -> bool:
        """Return whether the ranks have their own connections, which nothing else uses."""
        return self._limited

    def connect(self, place: Place) -> None:
        """Connect the ranks.

        Raises:
            DistributedError: a rank did not connect.
        """
        if not self._limited:
            return
        leave_word(self._group, place)
        try:
            self._forward = GlooConnection(self._group, "forward", place.timeout)
            self._backward = GlooConnection(self._group, "backward", place.timeout)
        except BaseException as error:
            # Otherwise the next call would use the group's connections, which others use, too.
            self._lost = str(place)
            if isinstance(error, RuntimeError):
                raise explained(place, error, self._group, self._limited) from None
            raise
        leave_word(self._group, None)

    def close(self) -> None:
        """End the connections, and wait for their threads."""
        self._lost = self._lost or "the end of the process"
        self._forward.close()
        self._backward.close()

    @property
    def _group(self) -> dist.ProcessGroup:
        group = self._weak_group()
        if group is None:
            raise DistributedError(
                f"the process group of ranks {self.ranks} was destroyed between a forward pass of synchronised layers "
                "and its backward pass; destroy it after the last backward pass"
            )
        return group

    def gather(self, own: Tensor, place: Place | None) -> Tensor:
        """Return the values of each rank, ``(ranks, values)``, float64; 0 for ranks without batches.

        Args:
            own: Values of this rank, float64 ``(values,)``.
            place: Layer and pass; None for a rank that has no values and only takes part so that the others don't
                wait.

        Raises:
            DistributedError: another rank is at another place, or did not arrive.
        """
        self.calls += 1
        self._read_checks()
        message = _message(own, header(place, own.device), self._gathered)
        found = self._all_gather(message, place)
        heads = found[:, :HEADER]
        values = int(heads[:, 2].max()) if place is None else place.values
        self._check_places(heads, place, now=values > self._gathered)
        found = found[:, HEADER : HEADER + values]
        if values > self._gathered:
            rest = _rest(own, values, self._gathered)
            found = torch.cat([found, self._all_gather(rest, place)], 1)
            self._gathered = values if values <= MOST else self._gathered
        return found

    def sum(self, own: Tensor, place: Place | None, call: int = 0) -> Tensor:
        """Return the sum over the ranks, float64 ``(values,)``; see :meth:`gather`.

        Args:
            own: Values of this rank, float64 ``(values,)``.
            place: Layer and pass; None for a rank that has no values and only takes part so that the others don't
                wait.
            call: Number of its forward pass, from ``calls``.
        """
        self._read_checks()
        message = _message(own, sum_header(place, call, own.device), self._summed)
        self._all_reduce(message, place)
        head = message[:HEADER]
        if head.is_cuda and place is not None and place.values <= self._summed:
            self._read_later(head, place, call)
        else:
            self._check_sums(head, place, call)
        values = int(head[1] / head[0].clamp(min=1)) if place is None else place.values
        found = message[HEADER : HEADER + values]
        if values > self._summed:
            rest = _rest(own, values, self._summed)
            self._all_reduce(rest, place)
            found = torch.cat([found, rest])
            self._summed = values if values <= MOST else self._summed
        return found

    def _all_gather(self, message: Tensor, place: Place | None) -> Tensor:
        return self._met(self._forward, "forward", message, place)

    def _all_reduce(self, message: Tensor, place: Place | None) -> None:
        self._met(self._backward, "backward", message, place, add=True)

    def _met(
        self, over: Connection, direction: str, message: Tensor, place: Place | None, add: bool = False
    ) -> Tensor:
        """Return the messages of all ranks, or their sum."""
        group = self._group
        if self._lost:
            raise DistributedError(
                f"{place or 'joined'}, rank {dist.get_rank()}: the ranks lost one another before, at {self._lost}. "
                "Start all processes again from a checkpoint"
            )
        if not self._locks[direction].acquire(blocking=False):
            raise DistributedError(
                f"{place or 'joined'}, rank {dist.get_rank()}: two threads of this process call synchronised layers at "
                "once, and other ranks can't know in which order; call them from one thread"
            )
        found = message if add else message.new_empty(len(self.ranks) * len(message))
        try:
            meet(
                (lambda: over.all_reduce(found)) if add else (lambda: over.all_gather(found, message)),
                place,
                group,
                self._limited,
            )
        except BaseException:
            # A message that was sent and not answered stays pending, also after Ctrl-C.
            self._lost = str(place or "the batches of other ranks")
            raise
        finally:
            self._locks[direction].release()
        return found if add else found.view(len(self.ranks), -1)

    def _check_places(self, heads: Tensor, place: Place | None, now: bool) -> None:
        """Raise an error unless all ranks are at the same place."""
        if heads.is_cuda and place is not None and not now:
            self._read_later(heads, place, None)
        else:
            self._raise_unless_alike(heads, place)

    def _read_later(self, heads: Tensor, place: Place | None, call: int | None) -> None:
        """Start copying headers from a GPU, since waiting now would cost time."""
        event = torch.cuda.Event()
        kept = torch.empty(heads.shape, dtype=heads.dtype, pin_memory=True).copy_(heads, non_blocking=True)
        event.record()
        self._unread.append((event, kept, place, call))

    def _read_checks(self) -> None:
        """Raise an error of an earlier call on a GPU, if its headers have arrived by now."""
        while self._unread and self._unread[0][0].query():
            _, heads, place, call = self._unread.popleft()
            if call is None:
                self._raise_unless_alike(heads, place)
            elif not agree(heads.tolist()):
                raise DistributedError(
                    f"{place}, rank {dist.get_rank()}: the ranks went backward through different calls, and gradients "
                    f"since then are wrong. {ADVICE}"
                )

    def _raise_unless_alike(self, heads: Tensor, place: Place | None) -> None:
        if len({tag for present, tag in heads[:, :2].tolist() if present}) <= 1:
            return
        raise DistributedError(
            f"{place or f'joined, rank {dist.get_rank()}'}: the ranks are not at the same layer: "
            f"{_whereabouts(heads, self.ranks)}. {ADVICE}"
        )

    def _check_sums(self, head: Tensor, place: Place | None, call: int) -> None:
        if agree(head.tolist()):
            return
        # All ranks detect that and get here: they exchange their places.
        told = place and Place(f"{place.layer}, call {call}", "forward", 0, place.timeout)
        heads = self._met(self._backward, "backward", header(told, head.device), place)
        raise DistributedError(
            f"{place or f'joined, rank {dist.get_rank()}'}: the ranks go backward through different calls: "
            f"{_whereabouts(heads, self.ranks)}. {ADVICE}"
        )


def _message(own: Tensor, head: Tensor, most: int) -> Tensor:
    message = own.new_zeros(HEADER + most)
    message[:HEADER] = head
    message[HEADER : HEADER + min(len(own), most)] = own[:most]
    return message


def _rest(own: Tensor, values: int, sent: int) -> Tensor:
    rest = own.new_zeros(values - sent)
    rest[: max(len(own) - sent, 0)] = own[sent:]
    return rest


def _whereabouts(heads: Tensor, ranks: list[int]) -> str:
    """Return the layer at which each rank is."""
    return ", ".join(
        f"rank {rank} " + (f"is at {name_in(head)}" if head[0] > 0 else "has no more batches")
        for rank, head in zip(ranks, heads, strict=True)
    )
