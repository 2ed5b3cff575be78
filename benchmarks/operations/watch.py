"""Training steps with ``normwise.watch`` at its default interval, and without it.

Run: python benchmarks/operations/watch.py [--rounds N] [--threads N]

Forward, cross-entropy, backward and SGD. Of two copies of a network one is watched, with records into a folder, and
they take a step each in turn. A round is an interval, so that it has one record; its ratio is the time that the steps
of the watched copy took in all over that of the other's. Printed is the median of the rounds' ratios, after one round
that does not count, with their lowest and highest.
"""

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

import normwise
from normwise.models import build
from normwise.statistics.watch.schedule import DEFAULT_EVERY

#: Network, shape of a batch, options.
CASES = [
    ("resnet", (32, 3, 32, 32), {}),
    ("ioffe_mlp", (60, 1, 28, 28), {}),
    ("ioffe_mlp", (60, 1, 8, 8), {"width": 32}),
]


def stepper(model: nn.Module, shape: tuple[int, ...]) -> Callable[[], float]:
    """Return a function that makes a training step and returns its seconds."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator)
    labels = torch.randint(10, shape[:1], generator=generator)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)

    def step() -> float:
        begun = time.perf_counter()
        optimiser.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        optimiser.step()
        return time.perf_counter() - begun

    return step


def turn(without: Callable[[], float], with_: Callable[[], float], number: int) -> tuple[float, float]:
    """Time a step of each, in alternating order, since the second finds the caches of the first."""
    if number % 2:
        return without(), with_()
    second = with_()
    return without(), second


def main() -> None:
    """Print a line a case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{arguments.threads} threads, interval of {DEFAULT_EVERY} steps, {arguments.rounds} rounds")
    for name, shape, options in CASES:
        plain = build(name, shape[1:], 10, **options)
        watched = copy.deepcopy(plain)
        without, with_ = stepper(plain, shape), stepper(watched, shape)
        with tempfile.TemporaryDirectory() as folder, normwise.watch(watched, to=Path(folder) / "recording"):
            rounds = [
                [turn(without, with_, i) for i in range(DEFAULT_EVERY)] for _ in range(arguments.rounds + 1)
            ][1:]
        ratios = [sum(b for _, b in steps) / sum(a for a, _ in steps) for steps in rounds]
        typical = statistics.median(a for steps in rounds for a, _ in steps)
        # The first step of a round is the one that is recorded.
        between = statistics.median(b / a for steps in rounds for a, b in steps[1:])
        record = statistics.median(steps[0][1] - steps[0][0] for steps in rounds)
        print(
            f"{name} {options or ''} on {shape}: a step takes {1e3 * typical:.2f} ms, with watch "
            f"{statistics.median(ratios):.3f} times as long [{min(ratios):.3f}, {max(ratios):.3f}]; between records "
            f"{between:.3f} times; a record takes {1e3 * record:.1f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
