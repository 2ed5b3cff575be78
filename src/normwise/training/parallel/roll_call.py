"""Agreement of all processes of a run on why it ends early: one reason, printed by one process.

The processes share a store of torch.distributed. A process that fails writes its reason there, and the first reason
becomes the reason of all. A process that only sees broken connections calls the roll instead: in every process a
thread answers, even while the process itself waits for others. A process that does not answer is dead.
"""

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from torch.distributed.distributed_c10d import PrefixStore, Store

#: Seconds between two reads of the store, and seconds that a process has to answer.
_POLL, _ANSWER = 0.25, 5.0
_REASON, _CALL = "reason", "roll call"
_KEPT = "The run is kept up to its last checkpoint: resume it with --resume, with this number of processes or another"


@dataclass(frozen=True)
class Reason:
    """Reason why a run ends early.

    Attributes:
        teller: Rank of the process that prints it.
        text: Message for all processes; the failed process also has its own exception.
    """

    teller: int
    text: str


class RollCall:
    """One process's view of the end of the others.

    Args:
        store: Store shared by all processes.
        rank: Rank of this process.
        count: Number of all processes.
    """

    def __init__(self, store: Store, rank: int, count: int):
        self._store = PrefixStore("normwise", store)
        self._rank, self._count = rank, count
        self._reason: Reason | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._answer, name="normwise-roll-call", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        self._stopped.set()
        self._thread.join(timeout=_ANSWER)

    def failed(self, text: str) -> Reason:
        """Announce that this process fails, and why; return the common reason."""
        return self._agreed(f"rank {self._rank} of {self._count} failed: {text}")

    def lost(self, detail: str) -> Reason:
        """Find out which process has died, after this one lost a connection; return the common reason.

        Args:
            detail: Description of the lost connection, used if every process answers.
        """
        try:
            self._store.set(_CALL, "called")
            missing = self._missing()
        except RuntimeError:
            return self._without_store()
        if self._reason is not None:
            return self._reason
        if not missing:
            return self._agreed(f"{detail}. {_KEPT}")
        ranks = ", ".join(map(str, missing))
        who = (
            f"rank {ranks} of {self._count} is"
            if len(missing) == 1
            else f"ranks {ranks} of {self._count} are"
        )
        return self._agreed(f"{who} gone: killed, or on a machine that does not answer. {_KEPT}")

    def let_others_read(self) -> None:
        """Wait until the living processes know the reason: the store ends with the process that hosts it."""
        deadline = time.monotonic() + _ANSWER
        with suppress(RuntimeError):
            while time.monotonic() < deadline:
                others = [rank for rank in range(self._count) if rank != self._rank]
                if all(self._store.check([f"read {rank}"]) for rank in others if self._is_there(rank)):
                    return
                time.sleep(_POLL / 5)

    def _is_there(self, rank: int) -> bool:
        # Before a roll call there are no answers: wait for all processes then.
        return not self._store.check([_CALL]) or self._store.check([f"present {rank}"])

    def _missing(self) -> list[int]:
        """Return the ranks that have not answered in time; an empty list once there is a reason."""
        deadline = time.monotonic() + _ANSWER
        while True:
            self._read()
            missing = [
                rank
                for rank in range(self._count)
                if rank != self._rank and not self._store.check([f"present {rank}"])
            ]
            if self._reason is not None or not missing or time.monotonic() > deadline:
                return missing
            time.sleep(_POLL / 5)

    def _agreed(self, text: str) -> Reason:
        """Propose a reason, and return the first one proposed by any process."""
        if self._reason is not None:
            return self._reason
        own = json.dumps([self._rank, text])
        try:
            teller, text = json.loads(self._store.compare_set(_REASON, "", own))
        except RuntimeError:
            return self._without_store()
        return self._take(teller, text)

    def _without_store(self) -> Reason:
        """Return the reason when the store is gone; rank 0 hosts it if no launcher does."""
        text = (
            f"rank 0 of {self._count} is gone, or the launcher that keeps the processes together is. {_KEPT}"
        )
        return self._reason or Reason(self._rank, text)

    def _read(self) -> None:
        if self._reason is None and self._store.check([_REASON]):
            self._take(*json.loads(self._store.get(_REASON)))

    def _take(self, teller: int, text: str) -> Reason:
        self._reason = Reason(teller, text)
        with suppress(RuntimeError):
            self._store.set(f"read {self._rank}", "read")
        return self._reason

    def _answer(self) -> None:
        answered = False
        with suppress(RuntimeError):  # the store is gone, so there is no one to answer
            while not self._stopped.wait(_POLL):
                if not answered and self._store.check([_CALL]):
                    self._store.set(f"present {self._rank}", "present")
                    answered = True
                self._read()
