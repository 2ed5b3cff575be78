"""All cases, ours and torch's in turn, and what memory allows."""

import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from statistics import median, quantiles

import torch

from normwise import kernels
from normwise.benchmark.bandwidth import bandwidth, gpu_bandwidth, limit_seconds
from normwise.benchmark.cases import CASES, Case, contestants
from normwise.benchmark.clock import REPETITIONS, interleaved
from normwise.benchmark.gpu_clock import gpu_seconds, host_seconds
from normwise.benchmark.kernels_alone import limit_share
from normwise.benchmark.served_by import served_by
from normwise.records import Bandwidth, Benchmark, Comparison, Environment

#: Told of each case before it is measured: how many have been, of how many, and its name.
OnCase = Callable[[int, int, str], None]


def run_benchmark(
    cases: Sequence[Case] = CASES, *, allocator: str = "left as it is", on_case: OnCase | None = None
) -> Benchmark:
    """Measure the cases, on a CPU with the threads that torch is set to.

    Args:
        cases: Cases of one device, as :func:`normwise.benchmark.cases_of` gives them.
        allocator: Description of the tuning of malloc, for the record.
        on_case: Told of the progress.
    """
    environment = Environment.here()
    on_gpu = any(case.on_gpu for case in cases)
    comparisons = []
    with torch.cuda.device(cases[0].device) if on_gpu else contextlib.nullcontext():
        if on_gpu:
            bandwidths = (gpu_bandwidth(cases[0].device),)
        else:
            sizes = sorted({case.bytes for case in cases if case.work == "relu"})
            bandwidths = tuple(bandwidth(size) for size in sizes)
        for done, case in enumerate(cases):
            if on_case is not None:
                on_case(done, len(cases), f"{case.title}, {case.layout}")
            comparisons.append(compare(case, bandwidths))
            if on_gpu:
                # Graphs have memory of their own, which the next case's tensors would not get.
                torch.cuda.empty_cache()
    return Benchmark(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        environment=environment,
        kernels=kernels.in_use(),
        allocator=allocator,
        threads=torch.get_num_threads(),
        bandwidths=bandwidths,
        comparisons=tuple(comparisons),
        device=torch.cuda.get_device_name(cases[0].device) if on_gpu else environment.processor,
        on_gpu=on_gpu,
    )


def compare(case: Case, bandwidths: Sequence[Bandwidth], *, host: bool = True) -> Comparison:
    """Measure one case; a GPU's without what a call costs the host unless ``host``."""
    theirs, ours = contestants(case)
    calls = [*theirs, ours]
    columns = gpu_seconds(calls) if case.on_gpu else interleaved(calls)
    torch_host = our_host = float("nan")
    if case.on_gpu and host:
        of_each = [1e6 * median(column) for column in host_seconds(calls)]
        torch_host, our_host = min(of_each[:-1]), of_each[-1]
    best = min(columns[:-1], key=median)
    ratios = [a / b for a, b in zip(best, columns[-1], strict=True)]
    tenths = quantiles(ratios, n=10)
    seconds = median(columns[-1])
    return Comparison(
        case=case.title,
        shape=case.layout,
        torch_ms=1e3 * median(best),
        ours_ms=1e3 * seconds,
        ratio=median(ratios),
        low=tenths[0],
        high=tenths[-1],
        repetitions=REPETITIONS,
        limit_share=limit_seconds(case, bandwidths) / seconds
        if case.on_gpu
        else limit_share(case, bandwidths),
        torch_host_us=torch_host,
        ours_host_us=our_host,
        backend=served_by(case),
    )
