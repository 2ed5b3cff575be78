"""Record of a benchmark: speed of the layers on a machine, against torch's in the same process."""

import math
from dataclasses import dataclass

from normwise.records.environment import Environment


@dataclass(frozen=True)
class Bandwidth:
    """Bandwidth of memory with torch's own operators, for arrays of one size.

    Attributes:
        megabytes: Size of each array, in units of 2^20 bytes.
        read, copy, triad: Bandwidth of reads and writes in 10^9 bytes per second: for the sum of one array, for a
            copy of one to another, and for the sum of two into a third.
    """

    megabytes: float
    read: float
    copy: float
    triad: float


@dataclass(frozen=True)
class Comparison:
    """One case, timed for ours and torch's in turn.

    Attributes:
        case: Description of the work.
        shape: Shape of the input, with its memory format and dtype.
        torch_ms, ours_ms: Median times, in milliseconds.
        ratio: Median over the repetitions of torch's time divided by ours; above 1 ours is faster.
        low, high: 10th and 90th percentile of that ratio.
        repetitions: Number of repetitions.
        limit_share: Time that memory alone takes, divided by the time of our kernels alone with reused outputs on a
            CPU, and by ``ours_ms`` on a GPU. NaN if not measured.
        torch_host_us, ours_host_us: Median microseconds until a call is queued on a GPU; otherwise NaN.
        backend: Backend of our layers; empty in older records.
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
    """Results of a benchmark on a machine.

    Attributes:
        date: Date of its end, UTC.
        environment: Machine and versions.
        kernels: Description of the implementation on each kind of device.
        allocator: Description of the tuning of malloc.
        threads: Number of threads, the same for ours and torch's.
        bandwidths: Bandwidths of memory.
        comparisons: Timed cases.
        device: Name of the processor or GPU that computed; empty in older records.
        on_gpu: Whether the device is a GPU.
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
