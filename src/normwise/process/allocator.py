"""Memory that malloc keeps instead of giving it back to the system after each tensor."""

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
        mmap_threshold: Bytes up to which an allocation comes from the heap now; None where nothing was changed.
        trim_threshold: Free bytes at the top of the heap up to which it is kept; None likewise.
        reason: Why nothing was changed; empty where it was.
    """

    mmap_threshold: int | None
    trim_threshold: int | None
    reason: str

    def __str__(self) -> str:
        """In a sentence."""
        if self.mmap_threshold is None or self.trim_threshold is None:
            return f"malloc was left as it is: {self.reason}"
        return (
            f"malloc takes tensors of up to {self.mmap_threshold >> 20} MiB from the heap, and keeps up to "
            f"{self.trim_threshold >> 20} MiB of freed memory in this process"
        )


def tune_allocator() -> AllocatorTuning:
    """Let malloc keep the memory of large tensors for the next ones, in this process, from now on.

    By default glibc asks the system for the memory of each large tensor and gives it back when the tensor is
    gone. The system clears every page of it anew, which can cost more than the normalization itself. With
    the thresholds raised the memory is kept: faster, and the process's memory stays at its peak.

    Nothing calls this but you. It can't be undone within the process; the environment variables
    ``MALLOC_MMAP_THRESHOLD_`` and ``MALLOC_TRIM_THRESHOLD_`` do the same from outside. Another allocator
    that was preloaded, such as jemalloc, is not affected.

    Returns:
        What was done, or why nothing; print it.

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
