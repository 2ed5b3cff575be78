"""Tuning of malloc, so that it keeps memory instead of returning it to the system after each tensor."""

import ctypes
import platform
from dataclasses import dataclass

#: glibc's numbers of the settings, from its malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_GIB = 1 << 30
#: glibc before 2.35 takes no larger threshold for mmap than this.
_OLD_LIMIT = 32 << 20


@dataclass(frozen=True)
class AllocatorTuning:
    """Result of :func:`tune_allocator`.

    Attributes:
        mmap_threshold: Bytes up to which an allocation now comes from the heap; None if nothing was changed.
        trim_threshold: Free bytes at the top of the heap up to which it is kept; None if nothing was changed.
        reason: Reason why nothing was changed; empty if it was.
    """

    mmap_threshold: int | None
    trim_threshold: int | None
    reason: str

    def __str__(self) -> str:
        """Return the result in a sentence."""
        if self.mmap_threshold is None or self.trim_threshold is None:
            return f"malloc was left as it is: {self.reason}"
        return (
            f"malloc takes tensors of up to {self.mmap_threshold >> 20} MiB from the heap, and keeps up to "
            f"{self.trim_threshold >> 20} MiB of freed memory in this process"
        )


def tune_allocator() -> AllocatorTuning:
    """Make malloc keep the memory of large tensors for the next ones, in this process, from now on.

    By default glibc requests the memory of each large tensor from the system and returns it when the tensor is
    freed. The system clears every page again, which can cost more than the normalization itself. With raised
    thresholds the memory is kept: this is faster, but the process's memory stays at its peak.

    normwise never calls this by itself. It can't be undone within the process; the environment variables
    ``MALLOC_MMAP_THRESHOLD_`` and ``MALLOC_TRIM_THRESHOLD_`` do the same from outside. Another allocator
    that was preloaded, such as jemalloc, is not affected.

    Returns:
        The new thresholds, or the reason why nothing was changed; print it.

    References:
        mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
    """
    name, version = platform.libc_ver()
    if name != "glibc":
        return AllocatorTuning(None, None, f"it is not glibc's (but {name or platform.system()}'s)")
    mallopt = ctypes.CDLL(None).mallopt
    trim = mallopt(_M_TRIM_THRESHOLD, _GIB)
    threshold = next((size for size in (_GIB, _OLD_LIMIT) if mallopt(_M_MMAP_THRESHOLD, size)), None)
    if not trim or threshold is None:
        return AllocatorTuning(None, None, f"glibc {version} refused the settings")
    return AllocatorTuning(threshold, _GIB, "")
