"""Times of calls on a GPU: what the GPU takes, by events around replayed CUDA graphs; and what a call costs the host.

The two are told apart, because a step that is captured or compiled costs the host nothing, and one of large tensors is
never waiting for it.
"""

import time
from collections.abc import Callable, Sequence
from statistics import median

import torch

from normwise.benchmark.clock import REPETITIONS, WARMING

#: So much work lies between two events: they are told apart by half a microsecond.
_LEAST_SECONDS = 2e-4
#: So few calls are queued between two waits for the GPU that the queue never fills, which would stop the host.
_QUEUED_CALLS = 10


def graphed(call: Callable[[], object]) -> Callable[[], None]:
    """Return a call that replays, as one CUDA graph, what the given one launches."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def gpu_seconds(calls: Sequence[Callable[[], object]]) -> list[list[float]]:
    """Return the seconds that the GPU takes for each call, as a graph, measured in turn.

    As on the CPU, each turn begins with a call that doesn't count. It also keeps the GPU busy until what counts is in
    its queue.
    """
    return event_seconds([graphed(call) for call in calls])


def event_seconds(calls: Sequence[Callable[[], object]]) -> list[list[float]]:
    """Return the seconds from the beginning to the end of each call as the GPU sees them, measured in turn."""
    once = _once(calls)
    repetitions = [max(1, round(_LEAST_SECONDS / seconds)) for seconds in once]
    events: list[list[tuple[torch.cuda.Event, torch.cuda.Event]]] = [[] for _ in calls]
    for _ in range(WARMING + REPETITIONS):
        for found, call, inner in zip(events, calls, repetitions, strict=True):
            begun, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            call()
            begun.record()
            for _ in range(inner):
                call()
            ended.record()
            found.append((begun, ended))
    torch.cuda.synchronize()
    return [
        [begun.elapsed_time(ended) / 1e3 / inner for begun, ended in found[WARMING:]]
        for found, inner in zip(events, repetitions, strict=True)
    ]


def host_seconds(calls: Sequence[Callable[[], object]]) -> list[list[float]]:
    """Return the seconds after which each call is in the GPU's queue, measured in turn."""
    columns: list[list[float]] = [[] for _ in calls]
    for _ in range(WARMING + REPETITIONS):
        for column, call in zip(columns, calls, strict=True):
            call()
            torch.cuda.synchronize()
            begun = time.perf_counter()
            for _ in range(_QUEUED_CALLS):
                call()
            column.append((time.perf_counter() - begun) / _QUEUED_CALLS)
    torch.cuda.synchronize()
    return [column[WARMING:] for column in columns]


def _once(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Return roughly the seconds of one call of each."""
    found: list[float] = []
    for call in calls:
        times: list[float] = []
        for _ in range(3):
            torch.cuda.synchronize()
            begun = time.perf_counter()
            call()
            torch.cuda.synchronize()
            times.append(time.perf_counter() - begun)
        found.append(max(median(times), 1e-6))
    return found
