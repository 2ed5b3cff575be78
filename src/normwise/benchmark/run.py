"""All cases, ours and torch's in turn, and the kernels alone against memory."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from statistics import median, quantiles

import torch

from normwise import kernels
from normwise.benchmark.bandwidth import bandwidth, limit_seconds
from normwise.benchmark.cases import CASES, Case, contestants
from normwise.kernels import Call
from normwise.kernels.backward_call import BackwardCall
from normwise.kernels.cpu import library
from normwise.kernels.cpu.backend import CpuBackend
from normwise.records import Bandwidth, Benchmark, Comparison, Environment

#: At least so many repetitions, after some that don't count; a short call is repeated within one.
_REPETITIONS, _WARMING, _LEAST_SECONDS = 15, 2, 2e-3

#: Told of each case that has been measured: how many have, of how many, and its name.
OnCase = Callable[[int, int, str], None]


def run_benchmark(
    cases: Sequence[Case] = CASES, *, allocator: str = "left as it is", on_case: OnCase | None = None
) -> Benchmark:
    """Measure the cases with the threads that torch is set to.

    Args:
        cases: Which.
        allocator: What was done to malloc before, in words, for the record.
        on_case: Told of the progress.
    """
    sizes = sorted({case.bytes for case in cases if case.work == "relu"})
    bandwidths = tuple(bandwidth(size) for size in sizes)
    comparisons = []
    for done, case in enumerate(cases):
        if on_case is not None:
            on_case(done, len(cases), f"{case.title}, {case.layout}")
        comparisons.append(_compare(case, bandwidths))
    return Benchmark(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        environment=Environment.here(),
        kernels=kernels.in_use(),
        allocator=allocator,
        threads=torch.get_num_threads(),
        bandwidths=bandwidths,
        comparisons=tuple(comparisons),
    )


def _compare(case: Case, bandwidths: Sequence[Bandwidth]) -> Comparison:
    theirs, ours = contestants(case)
    columns = _interleaved([*theirs, ours])
    best = min(columns[:-1], key=median)
    ratios = [a / b for a, b in zip(best, columns[-1], strict=True)]
    tenths = quantiles(ratios, n=10)
    return Comparison(
        case=case.title,
        shape=case.layout,
        torch_ms=1e3 * median(best),
        ours_ms=1e3 * median(columns[-1]),
        ratio=median(ratios),
        low=tenths[0],
        high=tenths[-1],
        repetitions=_REPETITIONS,
        limit_share=_limit_share(case, bandwidths),
    )


def _interleaved(calls: Sequence[Callable[[], object]]) -> list[list[float]]:
    """Seconds of each call, measured in turn, so that what disturbs the machine disturbs all.

    Each turn begins with a call that does not count: what the one before it left in malloc and in the caches is
    another's, and whose turn comes behind whose would decide.
    """
    begun = time.perf_counter()
    for call in calls:
        call()
    once = (time.perf_counter() - begun) / len(calls)
    inner = max(1, round(_LEAST_SECONDS / once))
    columns: list[list[float]] = [[] for _ in calls]
    for _ in range(_WARMING + _REPETITIONS):
        for column, call in zip(columns, calls, strict=True):
            call()
            begun = time.perf_counter()
            for _ in range(inner):
                call()
            column.append((time.perf_counter() - begun) / inner)
    return [column[_WARMING:] for column in columns]


def _limit_share(case: Case, bandwidths: Sequence[Bandwidth]) -> float:
    """What memory alone would take over what the kernels alone do, their outputs reused."""
    x, grad = case.tensor(), case.tensor()
    weight, bias, mean, var = (torch.ones(case.shape[1]) for _ in range(4))
    call = Call(x, mean, var, weight, bias, training=True, activation="relu")
    if case.work != "relu" or case.dtype is not torch.float32 or not CpuBackend().covers(call):
        return float("nan")
    y, grad_x = torch.empty_like(x), torch.empty_like(x)

    def forward() -> bytearray:
        return library.forward(call, out=y)[1]

    gradient = BackwardCall(
        x,
        weight,
        bias,
        forward(),
        slope_source=None,
        grad_y=grad,
        mask=None,
        activation="relu",
        layout=call.layout,
    )

    def backward() -> None:
        library.backward(gradient, out=grad_x)

    return limit_seconds(case, bandwidths) / sum(
        median(column) for column in _interleaved([forward, backward])
    )
