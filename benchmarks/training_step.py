"""A whole training step of ResNet-20 (He et al. 2016, section 4.2) on 32×32 images, by torch and accelerated.

Run: python benchmarks/training_step.py [--tune-allocator] [--batch N]

Forward, cross-entropy, backward and SGD with momentum, in both memory formats. The original,
``normwise.accelerate`` of its copy, and a copy without batch normalization, which no kernel could pass, take their
steps in turn; a ratio is the median of 15 rounds after 3 that don't count, with its 10th and 90th percentile.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable

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
        """The block's output."""
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
    """A copy whose batch normalization does nothing."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    return model


def step_of(model: nn.Module, x: Tensor, labels: Tensor) -> Callable[[], None]:
    """One step of training."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

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
    parser.add_argument("--batch", type=int, default=128)
    arguments = parser.parse_args()
    if arguments.tune_allocator:
        print(normwise.tune_allocator())
    for name, memory_format in (("NCHW", torch.contiguous_format), ("NHWC", torch.channels_last)):
        torch.manual_seed(0)
        x = torch.randn(arguments.batch, 3, 32, 32).contiguous(memory_format=memory_format)
        labels = torch.randint(10, (arguments.batch,))
        model = resnet20().to(memory_format=memory_format)
        fast, report = normwise.accelerate(copy.deepcopy(model), x[:8])
        steps = [step_of(copied, x, labels) for copied in (model, fast, without(model))]
        columns: list[list[float]] = [[] for _ in steps]
        for _ in range(WARMING + REPETITIONS):
            for step, column in zip(steps, columns, strict=True):
                begun = time.perf_counter()
                step()
                column.append(1e3 * (time.perf_counter() - begun))
        eager, ours, least = (column[WARMING:] for column in columns)
        print(f"{name}: torch {statistics.median(eager):.1f} ms")
        for what, times in (("accelerated", ours), ("without BN", least)):
            ratios = [a / b for a, b in zip(eager, times, strict=True)]
            tenths = statistics.quantiles(ratios, n=10)
            print(
                f"  {what} {statistics.median(times):.1f} ms, ratio {statistics.median(ratios):.2f} "
                f"[{tenths[0]:.2f}, {tenths[-1]:.2f}]"
            )
        print(f"  {str(report).splitlines()[-1]}")


if __name__ == "__main__":
    main()
