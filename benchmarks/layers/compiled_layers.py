"""BN and ReLU by themselves under torch.compile: torch's layers, ours, and ours called eagerly.

Run: python benchmarks/layers/compiled_layers.py

Forward and backward on a CPU, with one thread and its time on the processor, in turn; medians of 11 rounds after 3 that
don't count, and the ratio of torch's time to ours with its 10th and 90th percentile.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import normwise

SHAPES = ((64, 16, 32, 32), (64, 64, 8, 8), (32, 64, 56, 56), (32, 256, 14, 14))
REPETITIONS, WARMING = 11, 3


def step_of(call: Callable[[Tensor], Tensor], x: Tensor, grad_y: Tensor) -> Callable[[], None]:
    """Return a function that goes forward and back."""

    def step() -> None:
        call(x).backward(grad_y)
        x.grad = None

    return step


def main() -> None:
    """Print a line of each shape and memory format."""
    torch.set_num_threads(1)
    for shape in SHAPES:
        for name, memory_format in (("NHWC", torch.channels_last), ("NCHW", torch.contiguous_format)):
            torch.compiler.reset()
            x, grad_y = (torch.randn(shape).contiguous(memory_format=memory_format) for _ in range(2))
            x.requires_grad_()
            ours = normwise.nn.BatchNorm2d(shape[1], activation="relu")
            steps = {
                "torch.nn, torch.compile": step_of(
                    torch.compile(nn.Sequential(nn.BatchNorm2d(shape[1]), nn.ReLU())), x, grad_y
                ),
                "normwise.nn, torch.compile": step_of(torch.compile(ours), x, grad_y),
                "normwise.nn": step_of(ours, x, grad_y),
            }
            columns: dict[str, list[float]] = {what: [] for what in steps}
            for _ in range(WARMING + REPETITIONS):
                for what, step in steps.items():
                    begun = time.thread_time()
                    step()
                    columns[what].append(1e3 * (time.thread_time() - begun))
            theirs = columns["torch.nn, torch.compile"][WARMING:]
            for what, column in columns.items():
                ratios = [a / b for a, b in zip(theirs, column[WARMING:], strict=True)]
                tenths = statistics.quantiles(ratios, n=10)
                print(
                    f"{'×'.join(map(str, shape))} {name} {what}: {statistics.median(column[WARMING:]):.2f} ms, "
                    f"ratio {statistics.median(ratios):.1f} [{tenths[0]:.1f}, {tenths[-1]:.1f}]",
                    flush=True,
                )


if __name__ == "__main__":
    main()
