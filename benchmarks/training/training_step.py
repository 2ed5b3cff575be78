"""A whole training step of ResNet-20 (He et al. 2016, section 4.2) on 32×32 images, by torch and accelerated.

Run: python benchmarks/training/training_step.py [--tune-allocator] [--compile] [--batch N] [--cpu-time] [--rounds N]

Forward, cross-entropy, backward and SGD with momentum, in both memory formats. The original,
``normwise.accelerate`` of its copy, and a copy without batch normalization, which no kernel could pass, take their
steps in turn; a ratio is the median of 15 rounds (or N) after 3 that don't count, with its 10th and 90th percentile.

``--compile`` adds the three under ``torch.compile``, and the original under its backend "normwise" where that is
registered. Ratios of these are to ``torch.compile`` of the original. ``--cpu-time`` computes with one thread and takes
its time on the processor, for a machine that does other things as well.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise

REPETITIONS, WARMING = 15, 3


class Block(nn.Module):
    """Two 3×3 convolutions around an identity; with a stride, the identity is thinned out and padded by zeros."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.more = stride, channels - channels_in

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        identity = x
        if self.stride > 1:
            identity = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + identity)


def resnet20() -> nn.Sequential:
    """Three stages of three blocks, 16, 32 and 64 channels wide."""
    blocks: list[nn.Module] = []
    channels_in = 16
    for channels in (16, 32, 64):
        for i in range(3):
            blocks.append(Block(channels_in, channels, 2 if i == 0 and channels > 16 else 1))
            channels_in = channels
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def without(model: nn.Module) -> nn.Module:
    """Return a copy whose batch normalization does nothing."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    return model


def step_of(model: Callable[[Tensor], Tensor], x: Tensor, labels: Tensor) -> Callable[[], None]:
    """One step of training."""
    # A compiled model is a module, too.
    parameters = cast("nn.Module", model).parameters()
    optimiser = torch.optim.SGD(parameters, lr=0.01, momentum=0.9)

    def step() -> None:
        loss = F.cross_entropy(model(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def main() -> None:
    """Print the steps of each memory format."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tune-allocator", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=REPETITIONS)
    arguments = parser.parse_args()
    if arguments.tune_allocator:
        print(normwise.tune_allocator())
    clock = time.perf_counter
    if arguments.cpu_time:
        torch.set_num_threads(1)
        clock = time.thread_time
    for name, memory_format in (("NCHW", torch.contiguous_format), ("NHWC", torch.channels_last)):
        torch.manual_seed(0)
        x = torch.randn(arguments.batch, 3, 32, 32).contiguous(memory_format=memory_format)
        labels = torch.randint(10, (arguments.batch,))
        models, report = contestants(resnet20().to(memory_format=memory_format), x, arguments.compile)
        steps = {what: step_of(model, x, labels) for what, model in models.items()}
        times = rounds(steps, clock, arguments.rounds)
        for what, column in times.items():
            base = times["torch.compile" if "compile" in what else "torch"]
            ratios = [a / b for a, b in zip(base, column, strict=True)]
            tenths = statistics.quantiles(ratios, n=10)
            print(
                f"{name} {what}: {statistics.median(column):.1f} ms, ratio {statistics.median(ratios):.2f} "
                f"[{tenths[0]:.2f}, {tenths[-1]:.2f}]"
            )
        print(f"  {report.splitlines()[-1]}")


def contestants(
    model: nn.Module, x: Tensor, compiled: bool
) -> tuple[dict[str, Callable[[Tensor], Tensor]], str]:
    """Return the models that take steps, each with its own parameters, and the report of the accelerated one."""
    fast, report = normwise.accelerate(copy.deepcopy(model), x[:8])
    models: dict[str, nn.Module] = {"torch": model, "accelerated": fast, "without BN": without(model)}
    calls: dict[str, Callable[[Tensor], Tensor]] = {**models}
    if compiled:
        for what, eager in models.items():
            label = "torch.compile" if what == "torch" else f"{what}, torch.compile"
            calls[label] = torch.compile(copy.deepcopy(eager))
        if "normwise" in torch.compiler.list_backends():
            calls['torch.compile(backend="normwise")'] = torch.compile(
                copy.deepcopy(model), backend="normwise"
            )
    return calls, str(report)


def rounds(
    steps: dict[str, Callable[[], None]], clock: Callable[[], float], repetitions: int
) -> dict[str, list[float]]:
    """Milliseconds of the steps, which are taken in turn."""
    columns: dict[str, list[float]] = {what: [] for what in steps}
    for _ in range(WARMING + repetitions):
        for what, step in steps.items():
            begun = clock()
            step()
            columns[what].append(1e3 * (clock() - begun))
    return {what: column[WARMING:] for what, column in columns.items()}


if __name__ == "__main__":
    main()
