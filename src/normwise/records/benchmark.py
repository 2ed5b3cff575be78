"""Record of a benchmark: speed of the layers on a machine, against torch's in the same process."""

import math
from dataclasses import dataclass

from normwise.records.environment import Environment


@dataclass(frozen=True)
class Bandwidth:
    """Bandwidth of memory with torch's own operators, for arrays of one size.

    Attributes:
        megabytes: Of each array, in units of 2^20 bytes.
        read, copy, triad: 10^9 bytes a second that are read and written: of one array summed up, of one written
            to another, and of two added into a third.
    """

    megabytes: float
    read: float
    copy: float
    triad: float


@dataclass(frozen=True)
class Comparison:
    """One case, ours and torch's in turn.

    Attributes:
        case: What is computed.
        shape: Of the input, with its order in memory and its type.
        torch_ms, ours_ms: Medians, in milliseconds.
        ratio: Median over the repetitions of torch's time over ours; above 1 ours is faster.
        low, high: 10th and 90th percentile of that ratio.
        repetitions: How many there were.
        limit_share: On a CPU the time that memory alone takes over that of our kernels alone, outputs reused; on a GPU
            over ``ours_ms``. NaN where it was not measured.
        torch_host_us, ours_host_us: On a GPU the microseconds until a call is in its queue, medians; else NaN.
        backend: What computed ours; empty in records that were made before this was noted.
    """

    case: str
    shape: str
    torch_ms: float
    ours_ms: float
    ratio: float
    low: float
    high: float
    repetitions: int
    limit_share: float
    torch_host_us: float = math.nan
    ours_host_us: float = math.nan
    backend: str = ""


@dataclass(frozen=True)
class Benchmark:
    """A machine's figures.

    Attributes:
        date: When it ended, UTC.
        environment: Machine and versions.
        kernels: What computes on each kind of device, in words.
        allocator: What was done to malloc, in words.
        threads: Of both, ours and torch's.
        bandwidths: What memory gives.
        comparisons: The cases.
        device: Name of the processor or GPU that computed; empty in records that were made before this was noted.
        on_gpu: Whether that is a GPU.
    """

    date: str
    environment: Environment
    kernels: str
    allocator: str
    threads: int
    bandwidths: tuple[Bandwidth, ...]
    comparisons: tuple[Comparison, ...]
    device: str = ""
    on_gpu: bool = False
