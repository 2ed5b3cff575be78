"""Measurements of several processes, merged."""

from dataclasses import replace
from typing import Any

from torch import distributed as dist

from normwise.call_order import CallOrder
from normwise.errors import ModelError
from normwise.statistics.measure.measurement import Measurement


def gather(own: Measurement, group: dist.ProcessGroup) -> Measurement:
    """Return the merged measurements of all processes; each calls this, or :func:`gather_failure`, at the same time.

    Dropped keys and unused statistics are those of this process.

    Raises:
        ModelError: another process failed.
    """
    on_cpu = replace(own, seen={path: seen.cpu() for path, seen in own.seen.items()})
    several = _exchanged("", on_cpu, group)
    seen, reasons = several[0].seen, own.reasons
    for other in several[1:]:
        seen = {path: found + other.seen[path] for path, found in seen.items()}
    for other in several:
        reasons = other.reasons | reasons
    return replace(
        own,
        seen=seen,
        reasons=reasons,
        call_order=CallOrder.merged(other.call_order for other in several),
        batches=sum(other.batches for other in several),
    )


def gather_failure(error: BaseException, group: dist.ProcessGroup) -> None:
    """Report the failure of this process to the others, which wait for it."""
    _exchanged(f"{type(error).__name__}: {error}", None, group)


def _exchanged(failure: str, own: Measurement | None, group: dist.ProcessGroup) -> list[Any]:
    """Return the measurements of all processes, in the order of their ranks."""
    everybody: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(everybody, (failure, own), group=group)
    for rank, (text, _) in enumerate(everybody):
        if text and not failure:
            raise ModelError(f"process {rank} of the group failed: {text}")
    return [each for _, each in everybody]
