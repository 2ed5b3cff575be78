"""Gradient accumulation with BN: time, memory and error of its ways, beside one large batch.

Run: python benchmarks/training/accumulation.py [--samples N] [--parts K] [--rounds N]

A forward and a backward pass of a ResNet-20 (benchmarks/training/training_step.py) on 32×32 images, on one thread. All
ways are timed in turn, on the processor, since the machine may do other things as well; a ratio is the median of the
rounds after one that does not count. Peak memory is measured in a process for each: the most that was resident, less
what was before the step. Errors are those of all gradients together in float64, relative to one large batch.

"statistics as constants" is what two passes of micro-batches by themselves can do: the first finds the statistics of
the union, the second normalises by them, and its gradients do not flow through them.
"""

import argparse
import copy
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from training_step import Block, resnet20

import normwise

Batch = tuple[Tensor, Tensor]
_LABELS = 10


class Recomputed(nn.Module):
    """A block whose activations the backward pass computes anew."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Any:
        """Return the block's output."""
        return checkpoint(self.block, x, use_reentrant=False) if torch.is_grad_enabled() else self.block(x)


def recomputed(model: nn.Sequential) -> nn.Sequential:
    """Return the model with its blocks recomputed."""
    return nn.Sequential(*(Recomputed(part) if isinstance(part, Block) else part for part in model))


def loss_of(model: nn.Module, batch: Batch) -> Tensor:
    """Return the average loss of a batch."""
    return F.cross_entropy(model(batch[0]), batch[1])


def parts_of(batch: Batch, parts: int) -> list[Batch]:
    """Return the micro-batches."""
    return list(zip(batch[0].chunk(parts), batch[1].chunk(parts), strict=True))


def one_batch(model: nn.Sequential, batch: Batch, parts: int) -> None:
    """Do all at once."""
    loss_of(model, batch).backward()


def plain(model: nn.Sequential, batch: Batch, parts: int) -> None:
    """Accumulate the gradients alone."""
    for part in parts_of(batch, parts):
        (loss_of(model, part) / parts).backward()


def accumulated(model: nn.Sequential, batch: Batch, parts: int) -> None:
    """Accumulate the statistics as well."""
    with normwise.accumulate(model):
        plain(model, batch, parts)


def of_union(model: nn.Sequential, batch: Batch, parts: int) -> None:
    """Normalise by the statistics of the union."""
    normwise.statistics.backward_of_union(model, parts_of(batch, parts), loss_of)


def constants(model: nn.Sequential, batch: Batch, parts: int) -> None:
    """Normalise by the statistics of the union, as constants."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]

    def keep(layer: Any, args: tuple[Tensor]) -> None:
        axes = (0, 2, 3)
        found.append((layer, args[0].mean(axes), args[0].var(axes, correction=0)))

    found: list[tuple[Any, Tensor, Tensor]] = []
    handles = [layer.register_forward_pre_hook(keep) for layer in layers]
    with torch.no_grad():
        model(batch[0])
    for handle in handles:
        handle.remove()
    for layer, mean, var in found:
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(var)
    plain(model.eval(), batch, parts)


Way = Callable[[nn.Sequential, Batch, int], None]
#: Each way, and whether blocks are recomputed.
WAYS: dict[str, tuple[Way, bool]] = {
    "one batch": (one_batch, False),
    "one batch, blocks recomputed": (one_batch, True),
    "micro-batches": (plain, False),
    "micro-batches, accumulate": (accumulated, False),
    "backward_of_union": (of_union, False),
    "backward_of_union, blocks recomputed": (of_union, True),
}


def network(recompute: bool) -> nn.Sequential:
    """Return a new network, the same each time, with our layers."""
    torch.manual_seed(0)
    model: Any = normwise.convert(resnet20(), "batch")[0]
    return recomputed(model) if recompute else model


def data(samples: int) -> Batch:
    """Return images of different brightness, and labels."""
    torch.manual_seed(1)
    images = torch.randn(samples, 3, 32, 32) + torch.randn(samples, 3, 1, 1)
    return images, torch.randint(_LABELS, (samples,))


def times(samples: int, parts: int, rounds: int) -> Iterator[tuple[str, float]]:
    """Yield the seconds on the processor that each way takes."""
    torch.set_num_threads(1)
    batch = data(samples)
    models = {name: network(recompute) for name, (_, recompute) in WAYS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds + 1):
        for name, (way, _) in WAYS.items():
            begin = time.process_time()
            way(models[name], batch, parts)
            seconds[name].append(time.process_time() - begin)
    for name, each in seconds.items():
        yield name, statistics.median(each[1:])


def _resident(field: str) -> float:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def peak(name: str, samples: int, parts: int) -> float:
    """Return the MiB that a way needs at most, in this process, which must be new."""
    torch.set_num_threads(1)
    way, recompute = WAYS[name]
    model, batch = network(recompute), data(samples)
    way(model, data(2 * parts), parts)  # what is made once: threads, gradients, scratch memory
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    way(model, batch, parts)
    return _resident("VmHWM") - before


def _gradient(model: nn.Module) -> Tensor:
    return torch.cat(
        [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    )


def errors(samples: int, parts: int, steps: int) -> dict[str, tuple[float, float]]:
    """Return error and cosine of the gradients of each way, after so many steps of training."""
    torch.set_num_threads(1)
    model, (images, labels) = network(False).double(), data(samples)
    batch = images.double(), labels
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
    optimizer.zero_grad()
    found = {}
    for name, way, recompute in (
        ("one batch", one_batch, False),
        ("micro-batches", plain, False),
        ("statistics as constants", constants, False),
        ("backward_of_union", of_union, False),
        ("backward_of_union, blocks recomputed", of_union, True),
    ):
        own: Any = copy.deepcopy(model)
        own = recomputed(own) if recompute else own
        way(own, batch, parts)
        found[name] = _gradient(own)
    exact = found.pop("one batch")
    return {
        name: (
            float((gradient - exact).norm() / exact.norm()),
            float(F.cosine_similarity(gradient, exact, dim=0)),
        )
        for name, gradient in found.items()
    }


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--parts", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    # Tensors that are freed go back to the system at once, and are not counted any more.
    os.environ |= {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(1, maxtasksperchild=1) as pool:
        peaks = {name: pool.apply(peak, (name, options.samples, options.parts)) for name in WAYS}
    print(f"{options.samples} samples in {options.parts} micro-batches")
    first = 0.0
    for name, seconds in times(options.samples, options.parts, options.rounds):
        first = first or seconds
        print(
            f"{name:40} {seconds:6.2f} s on the processor, {seconds / first:5.2f} times  {peaks[name]:7.0f} MiB"
        )
    for steps in (0, 20):
        print(f"gradients after {steps} steps, relative to one batch: error, cosine")
        for name, (error, cosine) in errors(32, 4, steps).items():
            print(f"{name:40} {error:8.1e} {cosine:8.4f}")


if __name__ == "__main__":
    main()
