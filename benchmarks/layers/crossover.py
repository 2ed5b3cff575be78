"""The price of one implementation whatever the size: our layer beside torch's, from the smallest inputs on.

Run: python benchmarks/layers/crossover.py [--threads N]

The kernels compute wherever they cover a call, since a mean of many deviations shall cost nothing at any size. For each
size torch's own layer with what stands behind it, ours by the kernels and ours on torch's operators are called in turn.
A figure is torch's time over that of each, the median of 600 calls, 60 where they are long, with its 10th and 90th
percentile; above 1 it is faster.
"""

import argparse
import contextlib
import statistics
import time
from types import ModuleType

import torch

import normwise
from normwise import kernels
from normwise.kernels.cpu import library as compiled

SHAPES = [(8, 16), (60, 100), (64, 64), (256, 256), (256, 1024), (4096, 64), (4096, 1024)]
SHAPES += [(16, 4, 4, 4), (8, 16, 8, 8), (64, 16, 8, 8), (32, 64, 14, 14)]
CHANNELS_LAST = [(16, 4, 40, 40), (16, 64, 14, 14), (32, 64, 28, 28), (128, 512, 7, 7), (32, 64, 56, 56)]
WORK = {"BN, training": (None, True, True), "BN+ReLU, training": ("relu", True, True)}
WORK |= {"BN, evaluation with gradients": (None, False, True)}
WORK |= {"BN, evaluation": (None, False, False), "BN+ReLU, evaluation": ("relu", False, False)}


def ratios(
    shape: tuple[int, ...], activation: str | None, training: bool, gradients: bool
) -> list[tuple[float, float, float]]:
    """Torch's time over that of our layer by the kernels, and on torch's operators: medians, and tenths."""
    name = "BatchNorm2d" if len(shape) == 4 else "BatchNorm1d"
    theirs = getattr(torch.nn, name)(shape[1]).train(training)
    ours = getattr(normwise.nn, name)(shape[1], activation=activation).train(training)
    x, grad = torch.randn(2, *shape).unbind()
    if shape in CHANNELS_LAST:
        x, grad = (t.contiguous(memory_format=torch.channels_last) for t in (x, grad))
    x.requires_grad_(gradients)
    library = compiled.library

    def by_torch() -> torch.Tensor:
        y = theirs(x)
        return torch.relu_(y) if activation else y

    def by(what: ModuleType | None) -> torch.Tensor:
        compiled.library = what
        return ours(x)

    calls = (by_torch, lambda: by(library), lambda: by(None))
    times: list[list[int]] = [[] for _ in calls]
    with contextlib.nullcontext() if gradients else torch.no_grad():
        for _ in range(600 if x.numel() < 1_000_000 else 60):
            for column, call in zip(times, calls, strict=True):
                begun = time.perf_counter_ns()
                y = call()
                if gradients:
                    y.backward(grad)
                    x.grad = None
                column.append(time.perf_counter_ns() - begun)
    compiled.library = library
    found = []
    for column in times[1:]:
        each = [a / b for a, b in zip(times[0], column, strict=True)]
        tenths = statistics.quantiles(each, n=10)
        found.append((statistics.median(each), tenths[0], tenths[-1]))
    return found


def main() -> None:
    """Print a line a size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    torch.set_num_threads(parser.parse_args().threads)
    print(kernels.in_use(), torch.get_num_threads(), "threads")
    for work, options in WORK.items():
        print(f"{work}\n{'shape':>20}  {'elements':>8}  {'kernels':>18}  {'operators':>18}")
        for shape in SHAPES + CHANNELS_LAST:
            told = ["{:.2f} ({:.2f}–{:.2f})".format(*each) for each in ratios(shape, *options)]
            name = "×".join(map(str, shape)) + (" last" if shape in CHANNELS_LAST else "")
            print(f"{name:>20}  {torch.Size(shape).numel():>8}  {told[0]:>18}  {told[1]:>18}", flush=True)


if __name__ == "__main__":
    main()
