"""Expectations of a program on a GPU: CUDA graphs, streams, several devices, no waiting, no memory beside outputs."""

import torch
from torch import Tensor

from benchmarks.cuda.checks.work import CASES, SETTINGS, NotCheckedError, Work, expect_equal, need_gpu
from benchmarks.cuda.place import Place

#: Memory that a pass may take beside its outputs: partial sums.
_EXTRA_BYTES = 2 << 20


def check_graph(place: Place) -> None:
    """Capture in a CUDA graph, and replay on new data."""
    need_gpu(place)
    for case in CASES:
        for options in SETTINGS:
            work = Work(place, *case, **options)
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                work.step()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            work.layer.reset_running_stats()
            with torch.cuda.graph(graph):
                captured = work.step()
            with torch.no_grad():
                work.x.copy_(torch.randn_like(work.x) * 3 + 1)
            work.layer.reset_running_stats()
            graph.replay()
            replayed = [tensor.clone() for tensor in captured]
            expect_equal(work.again(), replayed, f"a replay of {case} {options}")


def check_streams(place: Place) -> None:
    """Two streams at once."""
    need_gpu(place)
    works = [Work(place, *case, seed=seed) for seed, case in enumerate(CASES[:2] * 2)]
    expected = [work.again() for work in works]
    streams = [torch.cuda.Stream() for _ in works]
    torch.cuda.synchronize()
    for _ in range(20):
        found: list[list[Tensor]] = []
        for stream, work in zip(streams, works, strict=True):
            with torch.cuda.stream(stream):
                found.append(work.again())
        torch.cuda.synchronize()
        for got, wanted in zip(found, expected, strict=True):
            expect_equal(got, wanted, "a step beside others on another stream")


def check_devices(place: Place) -> None:
    """Check a second device."""
    need_gpu(place)
    if torch.cuda.device_count() < 2:
        raise NotCheckedError("there is one device")
    second = Place("cuda:1", place.tiny, place.ends)
    first, other = (Work(where, *CASES[0]).again() for where in (place, second))
    # Random numbers are those of each device's own generator: only that it computes is asked, and where.
    if {tensor.device.index for tensor in other} != {1} or not all(
        t.isfinite().all() for t in (*first, *other)
    ):
        raise AssertionError("outputs are not on the input's device, or not finite")


def check_no_waiting(place: Place) -> None:
    """No synchronisation with the host."""
    need_gpu(place)
    for case in CASES:
        for options in SETTINGS:
            work = Work(place, *case, **options)
            work.step()
            evaluated = Work(place, *case, **options)
            evaluated.layer.eval()
            evaluated.step()
            torch.cuda.synchronize()
            torch.cuda.set_sync_debug_mode("error")
            try:
                work.step()
                evaluated.step()
            finally:
                torch.cuda.set_sync_debug_mode("default")


def check_no_memory(place: Place) -> str:
    """Nothing allocated but outputs and a few kilobytes."""
    need_gpu(place)
    most = extra = 0
    for case in CASES:
        work = Work(place, *case)
        for _ in range(2):
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            outputs = work.step()
            torch.cuda.synchronize()
            # Output, and gradients of the input and of the addition.
            extra = torch.cuda.max_memory_allocated() - before - 3 * work.x.nbytes
            del outputs
        most = max(most, extra)
        if extra > _EXTRA_BYTES:
            raise AssertionError(
                f"{case} took {extra:,} bytes beside its outputs; expected at most {_EXTRA_BYTES:,}"
            )
    return f"at most {max(most, 0):,} bytes"
