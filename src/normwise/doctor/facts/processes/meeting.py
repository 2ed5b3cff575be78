"""Meetings of the processes of a group, in which they exchange values within a time limit."""

import math
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from torch import distributed as dist
from torch.distributed import distributed_c10d

from normwise.doctor.facts.processes.rank_facts import ranks_text
from normwise.errors import ArgumentError, DistributedError

T = TypeVar("T")
_KEY = "normwise/doctor"


class Meeting:
    """Exchanges among all processes of a group, each of which makes the same calls in the same order.

    Before each exchange the processes meet at the group's store. So the rank of a missing process is known, and the
    group stays usable, which it would not after an aborted collective.

    Args:
        group: Process group.
        timeout: Seconds that a process waits for the others.

    Attributes:
        group: Process group.
        ranks: Global rank of each process.
        rank: Rank of this process.

    Raises:
        ArgumentError: the group is not a process group, this process is not in it, or the timeout is not a positive
            number.
    """

    def __init__(self, group: dist.ProcessGroup, timeout: float) -> None:
        if not isinstance(group, dist.ProcessGroup):
            if group == dist.GroupMember.NON_GROUP_MEMBER:
                raise ArgumentError(
                    "this process is not in the process_group; call it on the group's processes only"
                )
            raise ArgumentError(
                f"expected a process group as process_group, got {type(group).__name__}; pass "
                "torch.distributed.group.WORLD, or a group that torch.distributed.new_group made"
            )
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
            raise ArgumentError(f"expected a positive number of seconds as timeout, got {timeout!r}")
        self.group, self._timeout = group, float(timeout)
        self.ranks = dist.get_process_group_ranks(group)
        self.rank = dist.get_rank()

    def gather(self, what: str, produce: Callable[[], T]) -> list[T]:
        """Return the values of all processes, in the order of the ranks; a failure of one is an error in all.

        Args:
            what: Description of the action for messages, such as ``"diagnose a model"``.
            produce: Function that makes the value of this process, which must be picklable.

        Raises:
            DistributedError: a process did not arrive within the time limit, failed, or did something else.
        """
        own: T | None = None
        failure: Exception | None = None
        try:
            own = produce()
            sent = pickle.dumps((what, "", own))
        except Exception as error:  # of any kind: the others wait for this process and must be informed
            failure = error
            sent = pickle.dumps((what, f"{type(error).__name__}: {error}", None))
        self._meet(what)
        received: list[Any] = [None] * len(self.ranks)
        try:
            dist.all_gather_object(received, sent, group=self.group)
        except RuntimeError as error:
            raise DistributedError(
                f"rank {self.rank} came to {what}, and another process ended meanwhile: {error}"
            ) from error
        if failure is not None:
            raise failure
        values: list[T] = []
        for rank, several in zip(self.ranks, received, strict=True):
            their_what, said, value = pickle.loads(several)
            if their_what != what:
                raise DistributedError(
                    f"rank {self.rank} came to {what}, and rank {rank} to {their_what}; make the same calls of the "
                    "doctor in the same order on all processes"
                )
            if said:
                raise DistributedError(f"rank {rank} failed to {what}: {said}")
            values.append(value)
        return values

    def in_step(self, what: str, produce: Callable[[], T]) -> T:
        """Return the value of this process, which need not be picklable, after all others have made theirs.

        Raises:
            DistributedError: as :meth:`gather` does.
        """
        kept: list[T] = []
        self.gather(what, lambda: kept.append(produce()))
        return kept[0]

    def _meet(self, what: str) -> None:
        store = distributed_c10d._get_process_group_store(self.group)
        counter = f"{_KEY}/count/{self.rank}"
        try:
            number = store.add(counter, 1)
            keys = {rank: f"{_KEY}/{number}/{rank}" for rank in self.ranks}
            store.set(keys[self.rank], "here")
            absent: list[int] = []
            try:
                store.wait(list(keys.values()), timedelta(seconds=self._timeout))
            except RuntimeError:
                absent = [rank for rank, key in keys.items() if not store.check([key])]
                # A process that arrives later must not see this call as still waiting.
                store.delete_key(keys[self.rank])
                store.add(counter, -1)
        except RuntimeError as error:
            raise DistributedError(
                f"rank {self.rank} came to {what}, and the store of the process group does not answer: {error}. The "
                "process that holds it, mostly rank 0, has probably ended"
            ) from error
        if absent:
            raise DistributedError(
                f"rank {self.rank} came to {what}, and {ranks_text(absent)} did not within {self._timeout:g} seconds; "
                "with a process_group all its processes make this call, and process_group=None makes it alone"
            )
