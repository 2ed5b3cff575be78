"""Bandwidth of memory, and the time that a normalization needs to read and write its data."""

import time
from collections.abc import Callable, Sequence
from statistics import median

import torch

from normwise.benchmark.cases import Case, Work
from normwise.benchmark.gpu_clock import gpu_seconds
from normwise.records import Bandwidth

_REPETITIONS = 11
#: Array by which a GPU's memory is measured: many times its cache.
_GPU_BYTES = 1 << 30
#: Passes over the input's bytes of two stages, sums and normalization, which a GPU needs: in training 3 forward and 5
#: backward; with an addition 4 and 7.
_GPU_PASSES: dict[Work, int] = {"relu": 8, "plain": 8, "add_relu": 11, "eval": 2, "eval_relu": 2}


def bandwidth(size: int) -> Bandwidth:
    """Return what a CPU's memory gives for arrays of ``size`` bytes, medians."""
    return _bandwidth(size, "cpu", lambda calls: [_seconds(call) for call in calls])


def gpu_bandwidth(device: str) -> Bandwidth:
    """Return what a GPU's memory gives for arrays that are much larger than its cache, medians."""
    free, _ = torch.cuda.mem_get_info(device)
    size = min(_GPU_BYTES, free // 8)
    return _bandwidth(size, device, lambda calls: [median(column) for column in gpu_seconds(calls)])


def limit_seconds(case: Case, measured: Sequence[Bandwidth]) -> float:
    """Return the seconds of a step's forward and backward pass if only memory took time.

    On a CPU a channel that lies together stays in the cache between the two passes over it: forward is a copy, backward
    a triad. With the channels last all of the input is read twice. A GPU makes all passes, as fast as a copy.
    """
    by_size = min(measured, key=lambda found: abs(found.megabytes * 2**20 - case.bytes))
    if case.on_gpu:
        return _GPU_PASSES[case.work] * case.bytes / by_size.copy / 1e9
    seconds = 2 * case.bytes / by_size.copy + 3 * case.bytes / by_size.triad
    if case.channels_last or len(case.shape) == 2:
        seconds += 3 * case.bytes / by_size.read
    return seconds / 1e9


def _bandwidth(
    size: int, device: str, seconds: Callable[[list[Callable[[], object]]], list[float]]
) -> Bandwidth:
    a, b, c = (torch.rand(max(size // 4, 1), device=device) for _ in range(3))
    calls: list[Callable[[], object]] = [
        lambda: a.sum(),
        lambda: b.copy_(a),
        lambda: torch.add(a, b, out=c),
    ]
    read, copy, triad = (
        arrays * a.nbytes / taken / 1e9 for arrays, taken in enumerate(seconds(calls), start=1)
    )
    return Bandwidth(a.nbytes / 2**20, read, copy, triad)


def _seconds(call: Callable[[], object]) -> float:
    call()
    times: list[float] = []
    for _ in range(_REPETITIONS):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return median(times)
