"""Ranks that are missing from a collective, found by the entries of the others in the group's store."""

import time
from contextlib import suppress

import torch.distributed as dist

from normwise.distributed.connection import store_of
from normwise.distributed.place import Place
from normwise.errors import DistributedError

#: Seconds to wait for the entries of other waiting ranks, which they write after waiting for a second.
_PATIENCE = 3.0
ADVICE = (
    "All ranks must call the same synchronised layers in the same order: give each as many batches "
    "(DistributedSampler and DataLoader(drop_last=True), or normwise.distributed.joined), and let no branch depend on "
    "the rank. A layer's path is that in the outermost module that is called, which must be the same on all ranks, too"
)


def leave_word(group: dist.ProcessGroup, place: Place | None) -> None:
    """Write to the store where this rank waits; None if it does not wait any more."""
    # The process that hosts the store may be the one that ended.
    with suppress(RuntimeError, ValueError, KeyError):
        store_of(group).set(_key(dist.get_rank()), "" if place is None else str(place))


def explained(place: Place, error: Exception, group: dist.ProcessGroup, limited: bool) -> DistributedError:
    """Return the error for a collective that failed or took too long, with the places of other ranks if known."""
    own = dist.get_rank()
    others = [rank for rank in dist.get_process_group_ranks(group) if rank != own]
    text = str(error)
    ended = any(sign in text for sign in ("closed by peer", "Connection reset", "Broken pipe"))
    found = _words(group, others, 0.0 if ended else _PATIENCE)
    where = [f"rank {rank} is at {found[rank]}" for rank in others if rank in found]
    absent = [str(rank) for rank in others if rank not in found]
    if absent:
        who = f"rank{'s' if len(absent) > 1 else ''} {', '.join(absent)}"
        where.append(f"{who} came to no synchronised layer")
    if ended:
        what = "a connection was closed, so a process has ended"
    else:
        what = "not all ranks came" + (f" within {place.timeout:g} s" if limited else "")
    slow = "" if ended or not limited else ". Where a rank may take longer, raise the layer's timeout"
    timed_out = "timed out" in text.lower() or "timeout" in text.lower()
    reason = "" if timed_out or not text else f" ({text.splitlines()[0][:200]})"
    return DistributedError(f"{place}, rank {own}: {what}: {'; '.join(where)}{reason}. {ADVICE}{slow}")


def _words(group: dist.ProcessGroup, others: list[int], patience: float) -> dict[int, str]:
    """Return where other ranks wait, if they have written it within some seconds."""
    found: dict[int, str] = {}
    with suppress(RuntimeError, ValueError, KeyError):
        store = store_of(group)
        end = time.monotonic() + patience
        while True:
            for rank in others:
                word = store.get(_key(rank)) if store.check([_key(rank)]) else b""
                if word:
                    found[rank] = word.decode(errors="replace")
            if len(found) == len(others) or time.monotonic() >= end:
                break
            time.sleep(0.1)
    return found


def _key(rank: int) -> str:
    return f"normwise/waits/{rank}"
