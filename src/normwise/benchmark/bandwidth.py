"""What memory gives, and how long it takes for what a normalization must read and write."""

import time
from collections.abc import Callable, Sequence
from statistics import median

import torch

from normwise.benchmark.cases import Case
from normwise.records import Bandwidth

_REPETITIONS = 11


def bandwidth(size: int) -> Bandwidth:
    """For arrays of ``size`` bytes, medians."""
    a, b, c = (torch.rand(max(size // 4, 1)) for _ in range(3))
    calls: tuple[tuple[int, Callable[[], object]], ...] = (
        (1, lambda: a.sum()),
        (2, lambda: b.copy_(a)),
        (3, lambda: torch.add(a, b, out=c)),
    )
    read, copy, triad = (arrays * a.nbytes / _seconds(call) / 1e9 for arrays, call in calls)
    return Bandwidth(a.nbytes / 2**20, read, copy, triad)


def limit_seconds(case: Case, measured: Sequence[Bandwidth]) -> float:
    """What a training step's forward and backward pass would take if only memory took time.

    A channel that lies together stays in the cache between the two passes over it: forward is a copy, backward
    a triad. With the channels last all of the input is read twice.
    """
    by_size = min(measured, key=lambda found: abs(found.megabytes * 2**20 - case.bytes))
    seconds = 2 * case.bytes / by_size.copy + 3 * case.bytes / by_size.triad
    if case.channels_last or len(case.shape) == 2:
        seconds += 3 * case.bytes / by_size.read
    return seconds / 1e9


def _seconds(call: Callable[[], object]) -> float:
    call()
    times: list[float] = []
    for _ in range(_REPETITIONS):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return median(times)
