"""Wait for a collective, with an error that names the missing ranks."""

from collections.abc import Callable
from datetime import timedelta

import torch.distributed as dist

from normwise.distributed.missing import explained, leave_word
from normwise.distributed.place import Place
from normwise.errors import DistributedError

#: Seconds after which a waiting rank writes its place to the store. Most collectives take less.
_SOON = 1.0


def meet(
    begin: Callable[[], dist.Work | None], place: Place | None, group: dist.ProcessGroup, limited: bool
) -> None:
    """Start a collective and wait for it.

    Args:
        begin: Function that starts the collective.
        place: Layer and pass; None for a rank without batches, which waits as long as the backend does.
        group: Process group of the ranks.
        limited: Whether the wait ends after the place's timeout; otherwise after the backend's.

    Raises:
        DistributedError: the collective failed or took too long.
    """
    try:
        work = begin()
        if work is None:
            return
        if place is None or not limited:
            work.wait()
        else:
            _wait(work, place, group)
    except RuntimeError as error:
        if place is None:
            raise DistributedError(f"another rank ended while this one kept it company: {error}") from None
        raise explained(place, error, group, limited) from None


def _wait(work: dist.Work, place: Place, group: dist.ProcessGroup) -> None:
    soon = min(_SOON, place.timeout / 2)
    try:
        work.wait(timedelta(seconds=soon))
    except RuntimeError as error:
        # Both are texts of gloo, for a wait and for the collective itself.
        if work.is_completed() or "timed out" not in str(error).lower():
            leave_word(group, place)
            raise
        leave_word(group, place)
        work.wait(timedelta(seconds=place.timeout - soon))
        leave_word(group, None)
