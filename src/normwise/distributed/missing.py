"""Ranks that did not come to a collective, named by what they left in the store that all ranks share."""

import time
from contextlib import suppress

import torch.distributed as dist

from normwise.distributed.place import Place
from normwise.errors import DistributedError

#: Seconds to wait for the word of other ranks that wait as well.
_PATIENCE = 3.0
ADVICE = (
    "All ranks must call the same synchronised layers in the same order: give each as many batches "
    "(DistributedSampler and DataLoader(drop_last=True), or normwise.distributed.joined), and let no branch depend on "
    "the rank"
)


def explained(place: Place, error: RuntimeError, ranks: list[int], timeout: float | None) -> DistributedError:
    """Return the error for a collective that failed or took too long, with what can be found out about other ranks."""
    own = dist.get_rank()
    waited = "" if timeout is None else f" within {timeout:g} s"
    others = [rank for rank in ranks if rank != own]
    ended = "closed by peer" in str(error) or "Connection reset" in str(error) or "Broken pipe" in str(error)
    found = _others(place, own, others, 0.0 if ended else _PATIENCE)
    where = [f"rank {rank} is at {found[rank]}" for rank in others if rank in found]
    absent = [str(rank) for rank in others if rank not in found]
    if absent:
        who = f"rank{'s' if len(absent) > 1 else ''} {', '.join(absent)}"
        where.append(f"{who} came to no synchronised layer")
    what = "a connection was closed, so a process has ended" if ended else f"not all ranks came{waited}"
    reason = (
        f" ({str(error).splitlines()[0][:200]})"
        if str(error) and "timed out" not in str(error).lower()
        else ""
    )
    return DistributedError(f"{place}, rank {own}: {what}: {'; '.join(where)}{reason}. {ADVICE}")


def _others(place: Place, own: int, others: list[int], patience: float) -> dict[int, str]:
    """Leave word of where this rank is, and return where others are, as far as they have left word."""
    found: dict[int, str] = {}
    # The process that keeps the store may be the one that ended.
    with suppress(RuntimeError, ValueError):
        store = dist.distributed_c10d._get_default_store()
        store.set(f"normwise/waits/{own}", str(place))
        end = time.monotonic() + patience
        while True:
            for rank in others:
                key = f"normwise/waits/{rank}"
                if rank not in found and store.check([key]):
                    found[rank] = store.get(key).decode(errors="replace")
            if len(found) == len(others) or time.monotonic() >= end:
                break
            time.sleep(0.1)
    return found
