"""Gain of ``normwise.tune_allocator``: BN and ReLU, forward and backward, with and without it.

Run: python benchmarks/training/allocator.py

It can't be undone within a process, so each measurement is a process of its own, with and without in turn. A
ratio is the median time without over the median with, of 15 repetitions; the spread is that of 5 such pairs.
"""

import statistics
import subprocess
import sys

SHAPES = [(32, 64, 56, 56), (64, 64, 112, 112), (32, 256, 14, 14), (256, 1024)]

_MEASURE = """
import statistics, sys, time, torch, normwise
shape = tuple(map(int, sys.argv[1].split(",")))
if sys.argv[2] == "tuned":
    normwise.tune_allocator()
kind = normwise.nn.BatchNorm1d if len(shape) == 2 else normwise.nn.BatchNorm2d
layer, x = kind(shape[1], activation="relu"), torch.randn(shape, requires_grad=True)
gradient, seconds = torch.randn(shape), []
for _ in range(18):
    begun = time.perf_counter()
    layer(x).backward(gradient)
    seconds.append(time.perf_counter() - begun)
    x.grad = None
print(statistics.median(seconds[3:]))
"""


def seconds(shape: tuple[int, ...], how: str) -> float:
    """Median time of a forward and backward pass in a fresh process."""
    command = [sys.executable, "-c", _MEASURE, ",".join(map(str, shape)), how]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Print a line a shape."""
    print(f"{'shape':>18}  {'without':>10}  {'with':>10}  ratio [lowest, highest of 5]")
    for shape in SHAPES:
        pairs = [(seconds(shape, "plain"), seconds(shape, "tuned")) for _ in range(5)]
        ratios = sorted(plain / tuned for plain, tuned in pairs)
        plain, tuned = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
        name = ",".join(map(str, shape))
        print(
            f"{name:>18}  {plain:7.2f} ms  {tuned:7.2f} ms  {ratios[2]:.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]",
            flush=True,
        )


if __name__ == "__main__":
    main()
