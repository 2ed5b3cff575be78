"""The processes of one run: their communication, and one common reason when one of them ends."""

import gc
import json
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from normwise.errors import ArgumentError, DistributedError, NormwiseError, RunError
from normwise.training.parallel.roll_call import Reason, RollCall

#: How long a process waits for all processes to start; for a collective within a step; and for work that only
#: the first process does, which may take any time: a broken connection ends the wait.
_START, STEP, _PATIENCE = timedelta(minutes=5), timedelta(seconds=45), timedelta(days=30)
_START_ALL = (
    "Start all of them, with the same MASTER_ADDR and MASTER_PORT, and each with its own RANK, counted from 0"
)
#: Parts of gloo's error messages when a process has died or is late.
_CONNECTION = (
    "gloo/",
    "Connection closed by peer",
    "Connection reset by peer",
    "Timed out waiting",
    "Broken pipe",
)


class _Ended(BaseException):
    """Raised on SIGTERM: the launcher ends this process, as torchrun does when another has failed."""


class Processes:
    """The processes of one run while it lasts: ``with Processes("env://") as processes``.

    An exception in one process reaches the others as a RunError that says which process and why. So does the death
    of a process: its connections break, or it is silent for 45 seconds within a step. Connections use gloo, on
    CPUs.

    Args:
        address: Address at which the processes meet, as ``init_process_group`` takes it; ``env://`` for the
            variables RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.
        rank: Rank of this process, if the address does not contain it.
        count: Number of processes, if the address does not contain it.

    Attributes:
        rank: Rank of this process, from 0.
        count: Number of processes.
        reason: Reason why the run ended early, the same in all processes; None if it has not.

    Raises:
        RunError: the other processes can't be reached when the context is entered.
    """

    reason: Reason | None = None

    def __init__(self, address: str = "env://", rank: int = -1, count: int = -1):
        self._address, self.rank, self.count = address, rank, count

    def __enter__(self) -> "Processes":
        try:
            found = rendezvous(self._address, self.rank, self.count, timeout=_START)
            store, self.rank, self.count = next(found)
            self._wait_for_all(store, "here")
            dist.init_process_group("gloo", store=store, rank=self.rank, world_size=self.count, timeout=STEP)
            self._patient: Any = dist.new_group(timeout=_PATIENCE)
            # Otherwise a process that fails at once would be gone while others still connect.
            self._wait_for_all(store, "connected")
        except (RuntimeError, ValueError, OSError) as error:
            raise RunError(
                f"the processes of this run did not find each other: {_first_line(error)}. {_START_ALL}"
            ) from error
        self._roll = RollCall(store, self.rank, self.count)
        self._handler: Any = None
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGTERM, _end)
        return self

    def _wait_for_all(self, store: Any, state: str) -> None:
        """Wait until all processes are started or connected; later waits are shorter."""
        here = [f"normwise/{state}/{rank}" for rank in range(self.count)]
        store.set(here[self.rank], "here")
        deadline = time.monotonic() + _START.total_seconds()
        while not store.check(here):
            if time.monotonic() > deadline:
                missing = ", ".join(str(rank) for rank, name in enumerate(here) if not store.check([name]))
                raise RunError(
                    f"{self.count} processes were expected, and within {_START.total_seconds():g} s none came with the "
                    f"rank {missing}. {_START_ALL}"
                )
            time.sleep(0.05)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handler is not None:  # the following takes seconds and must not be interrupted
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            if error is None:
                self._disconnect()
            else:
                self._end_together(error)
        finally:
            self._roll.stop()
            if self._handler is not None:
                signal.signal(signal.SIGTERM, self._handler)

    def _end_together(self, error: BaseException) -> None:
        """Agree with the other processes on a reason; raise it unless it is this process's own exception."""
        lost = _lost(error)
        if lost is None:
            name = "" if isinstance(error, NormwiseError) else f"{type(error).__name__}: "
            self.reason = self._roll.failed(name + (str(error) or "it was interrupted"))
        # The exception's frames keep the connections open, and others may be waiting for them to close.
        traceback.clear_frames(error.__traceback__)
        self._disconnect()
        if lost is not None:
            self.reason = self._roll.lost(lost)
        if self.first:
            self._roll.let_others_read()
        if lost is not None and self.reason is not None:
            raise RunError(self.reason.text) from error

    def _disconnect(self) -> None:
        self._patient = None
        dist.destroy_process_group()
        gc.collect()

    @property
    def first(self) -> bool:
        """Return whether this process reads and writes the folder of the run."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait for all other processes without a limit, unless one of them has died."""
        dist.barrier(self._patient)

    def add(self, tensor: Tensor) -> None:
        """Replace the tensor by the sum over all processes, bit for bit the same in each."""
        dist.all_reduce(tensor)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensors of all processes, which have the same shape."""
        gathered = [torch.empty_like(tensor) for _ in range(self.count)]
        dist.all_gather(gathered, tensor)
        return gathered

    def from_first(self, make: Callable[[], Any]) -> Any:
        """Call ``make`` in the first process only, and return its JSON value in each process."""
        return json.loads(self.bytes_from_first(lambda: json.dumps(make()).encode()))

    def bytes_from_first(self, make: Callable[[], bytes]) -> bytes:
        """Call ``make`` in the first process only, and return its bytes in each process."""
        content = make() if self.first else b""
        size = torch.tensor([len(content)])
        dist.broadcast(size, 0, group=self._patient)
        if not size:
            return b""
        data = torch.frombuffer(bytearray(content or bytes(int(size))), dtype=torch.uint8)
        dist.broadcast(data, 0, group=self._patient)
        return data.numpy().tobytes()

    def copy_from_first(self, tensor: Tensor) -> None:
        """Copy the tensor of the first process to every process."""
        dist.broadcast(tensor, 0)

    def check_same(self, given: Mapping[str, Any]) -> None:
        """Compare the arguments of each process, names and JSON values, with those of the first.

        Raises:
            ArgumentError: the arguments of this process differ.
        """
        expected = self.from_first(lambda: dict(given))
        differs = [
            f"{name} is {value!r} here and {expected.get(name)!r} there"
            for name, value in json.loads(json.dumps(dict(given))).items()
            if value != expected.get(name)
        ]
        if differs:
            raise ArgumentError(
                f"rank {self.rank} was started differently from rank 0: {', '.join(differs)}. Give all processes the "
                "same command, data and version"
            )
        self.wait()

    def of_the_first(self, count: int) -> Any:
        """Return a group of the first ``count`` processes; None if that is all of them."""
        return None if count == self.count else dist.new_group(list(range(count)), timeout=STEP)


def _lost(error: BaseException) -> str | None:
    """Return how a connection to another process was lost; None for any other error."""
    if isinstance(error, _Ended):
        return "the processes were told to end (SIGTERM)"
    seen: BaseException | None = error
    while seen is not None:
        text = str(seen)
        if isinstance(seen, DistributedError):  # from a synchronised layer, which names its path
            return text.rstrip(".")
        if isinstance(seen, dist.DistError) or (
            isinstance(seen, RuntimeError) and any(part in text for part in _CONNECTION)
        ):
            return f"the processes lost their connections, although all are running: {_first_line(error)}"
        seen = seen.__cause__ or seen.__context__
    return None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _end(number: int, frame: FrameType | None) -> None:
    raise _Ended
