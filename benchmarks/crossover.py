"""From which size on our kernels are faster than torch's operators: what the sizes in kernels/choice.py rest on.

Run: python benchmarks/crossover.py

For each size the layer is called with the kernels and without, in turn, and beside them torch's own layer with what
stands behind it. A figure is torch's median time over that of each, of 600 calls, 60 where they are long; above 1
it is faster.
"""

import contextlib
import statistics
import time

import torch

import normwise
from normwise.kernels import choice, native

SHAPES = [(8, 16), (32, 32), (60, 100), (128, 100), (256, 100), (8, 16, 8, 8), (32, 16, 8, 8), (64, 16, 8, 8)]
SHAPES += [(256, 256), (256, 1024), (1024, 1024), (4096, 1024)]
CHANNELS_LAST = [(32, 256, 14, 14), (128, 512, 7, 7), (128, 32, 26, 26), (32, 128, 28, 28), (32, 64, 56, 56)]
WORK = {"BN+ReLU, training": ("relu", True, True), "BN, training": (None, True, True)}
WORK |= {"BN+ReLU, evaluation with gradients": ("relu", False, True)}
WORK |= {"BN+ReLU, evaluation": ("relu", False, False), "BN, evaluation": (None, False, False)}


def ratios(
    shape: tuple[int, ...], activation: str | None, training: bool, gradients: bool
) -> tuple[float, float]:
    """torch's time over that of our layer on torch's operators, and by the kernels."""
    name = "BatchNorm2d" if len(shape) == 4 else "BatchNorm1d"
    theirs = getattr(torch.nn, name)(shape[1]).train(training)
    ours = getattr(normwise.nn, name)(shape[1], activation=activation).train(training)
    x, grad = torch.randn(2, *shape).unbind()
    if shape in CHANNELS_LAST:
        x, grad = (t.contiguous(memory_format=torch.channels_last) for t in (x, grad))
    x.requires_grad_(gradients)
    library = native.library

    def by_torch() -> torch.Tensor:
        y = theirs(x)
        return torch.relu_(y) if activation else y

    def by(what: object) -> torch.Tensor:
        native.library = what  # pyright: ignore[reportAttributeAccessIssue]
        return ours(x)

    calls = (by_torch, lambda: by(None), lambda: by(library))
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
    native.library = library
    medians = [statistics.median(column) for column in times]
    return medians[0] / medians[1], medians[0] / medians[2]


def main() -> None:
    """Print a line a size."""
    print(normwise.kernels.in_use())
    choice.FASTER = choice.ALWAYS
    for work, options in WORK.items():
        print(f"{work}\n{'shape':>20}  {'elements':>8}  {'operators':>9}  {'kernels':>7}")
        for shape in SHAPES + CHANNELS_LAST:
            operators, kernels = ratios(shape, *options)
            name = "×".join(map(str, shape)) + (" last" if shape in CHANNELS_LAST else "")
            print(f"{name:>20}  {torch.Size(shape).numel():>8}  {operators:9.2f}  {kernels:7.2f}", flush=True)


if __name__ == "__main__":
    main()
