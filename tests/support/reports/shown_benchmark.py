"""A benchmark with every kind of work, on a processor and on a GPU."""

import dataclasses

from normwise.records import Bandwidth, Benchmark, Comparison
from tests.support.records import ENVIRONMENT

_WORK = (
    "BN+ReLU, forward and backward",
    "BN, forward and backward",
    "BN+add+ReLU, forward and backward, float16",
    "BN, evaluation",
    "BN+ReLU, evaluation, bfloat16",
)


def benchmark() -> Benchmark:
    """Return a benchmark of a processor."""
    comparisons = tuple(
        Comparison(work, f"{shape} NCHW", 2.0, 1.0, 2.0, 1.8, 2.2, 30, 0.5, 12.0, 10.0, "the kernels")
        for work in _WORK
        for shape in ("32×64×56×56", "32×256×14×14")
    )
    return Benchmark(
        "2026-01-02",
        ENVIRONMENT,
        "cpu: AVX2",
        "malloc was left as it is",
        2,
        (Bandwidth(256.0, 10.0, 12.0, 11.0),),
        comparisons,
    )


def on_gpu() -> Benchmark:
    """Return one of a GPU."""
    return dataclasses.replace(benchmark(), device="Some GPU", on_gpu=True)
