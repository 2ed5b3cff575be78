"""The agreement of all processes of a run on why it ends early: one reason, told by one of them.

The processes share a store of torch.distributed. A process that fails leaves its reason there, and the first reason is
that of all. A process that only finds its connections broken calls the roll instead: in every process a thread answers,
also where the process itself waits for others. A process that does not answer is gone.
"""

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from torch.distributed.distributed_c10d import PrefixStore, Store

#: Seconds between two looks at the store, and those that a process has for an answer.
_POLL, _ANSWER = 0.25, 5.0
_REASON, _CALL = "reason", "roll call"
_KEPT = (
    "The run is kept up to its last checkpoint: go on with --resume, with this number of processes or another"
)


@dataclass(frozen=True)
class Reason:
    """The reason that a run ends early.

    Attributes:
        teller: Rank of the process that tells it to the user.
        text: Message for all processes; the one that failed has an exception of its own.
    """

    teller: int
    text: str


class RollCall:
    """Knowledge of one process about the end of the others.

    Args:
        store: Store that all processes have.
        rank: Number of this process.
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
        """Answer no longer."""
        self._stopped.set()
        self._thread.join(timeout=_ANSWER)

    def failed(self, text: str) -> Reason:
        """Tell the others that this process fails, and why; return the reason that all have."""
        return self._agreed(f"rank {self._rank} of {self._count} failed: {text}")

    def lost(self, detail: str) -> Reason:
        """Find out which process is gone, where this one lost a connection; return the reason that all have.

        Args:
            detail: How the connection was lost, for the case that every process answers.
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
        """Wait until those that are there know the reason: the store ends with the process that keeps it."""
        deadline = time.monotonic() + _ANSWER
        with suppress(RuntimeError):
            while time.monotonic() < deadline:
                others = [rank for rank in range(self._count) if rank != self._rank]
                if all(self._store.check([f"read {rank}"]) for rank in others if self._is_there(rank)):
                    return
                time.sleep(_POLL / 5)

    def _is_there(self, rank: int) -> bool:
        # Before a roll is called nobody has answered: all are waited for then.
        return not self._store.check([_CALL]) or self._store.check([f"present {rank}"])

    def _missing(self) -> list[int]:
        """Return who has not answered in time; or nobody, once there is a reason."""
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
        """Propose a reason, and return the one that was proposed first."""
        if self._reason is not None:
            return self._reason
        own = json.dumps([self._rank, text])
        try:
            teller, text = json.loads(self._store.compare_set(_REASON, "", own))
        except RuntimeError:
            return self._without_store()
        return self._take(teller, text)

    def _without_store(self) -> Reason:
        """Return the reason where the store is gone, which the process of rank 0 keeps when no launcher does."""
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
        with suppress(RuntimeError):  # the store is gone: there is nobody to answer to
            while not self._stopped.wait(_POLL):
                if not answered and self._store.check([_CALL]):
                    self._store.set(f"present {self._rank}", "present")
                    answered = True
                self._read()
