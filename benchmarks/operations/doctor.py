"""The cost of a diagnosis with all rules, beside one evaluation pass over the batches that it looks at.

Run: python benchmarks/operations/doctor.py [--profile]

A ResNet-20 on images of MNIST's size, and a residual network of 500 BN layers, both with a loss and an optimiser, on 20
batches of 128. The samples that calls of the model get, over those of the batches, are the passes that a diagnosis
makes; a call for gradients, of the training step, is counted by itself. The seconds of one evaluation pass are the
least of three; those of the diagnosis are of the only one, in which the rules are imported as well. Seconds of the
processor, of all threads together, hardly depend on what else the machine does; the ratio is of those.
"""

import argparse
import cProfile
import pstats
import time
from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise
from normwise.models import build

BATCHES, BATCH, LAYERS, WIDTH = 20, 128, 500, 16
#: Calls of the model, by whether gradients were computed and by number of samples: outside it, for it is put back.
CALLS: Counter[tuple[bool, int]] = Counter()


class Counted(nn.Module):
    """A model whose calls are counted."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Count the call, and return the output."""
        CALLS[torch.is_grad_enabled(), len(x)] += 1
        return self.model(x)


class Block(nn.Module):
    """A linear layer, BN and ReLU beside an identity."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(WIDTH, WIDTH, bias=False), nn.BatchNorm1d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both."""
        return x + 0.1 * F.relu(self.norm(self.linear(x)))


def deep() -> nn.Module:
    """Return the network of many layers."""
    return nn.Sequential(*(Block() for _ in range(LAYERS)), nn.Linear(WIDTH, 10))


def resnet20() -> nn.Module:
    """Return the ResNet-20."""
    return build("resnet", (1, 28, 28), 10, norm=lambda channels, _: nn.BatchNorm2d(channels), depth=20)


def pass_seconds(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """Return the seconds of one evaluation pass, and those of the processor."""
    seconds = []
    with torch.no_grad():
        for _ in range(3):
            began = now()
            for x, _ in batches:
                model(x)
            seconds.append(since(began))
    wall, processor = zip(*seconds, strict=True)
    return min(wall), min(processor)


def now() -> tuple[float, float]:
    """Return the time, and that of the processor."""
    return time.perf_counter(), time.process_time()


def since(began: tuple[float, float]) -> tuple[float, float]:
    """Return the seconds since then, and those of the processor."""
    wall, processor = now()
    return wall - began[0], processor - began[1]


def main() -> None:
    """Print a line a network, and what takes long in it with ``--profile``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", action="store_true", help="print the functions that take long")
    parser.add_argument("--only", choices=("resnet20", "deep"), help="one of the networks")
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads")
    print(
        f"{'network':>9}  {'layers':>6}  {'one pass (CPU)':>16}  {'diagnosis (CPU)':>17}  {'ratio':>5}  "
        f"{'passes':>6}  calls"
    )
    for name, make, shape in (("resnet20", resnet20, (1, 28, 28)), ("deep", deep, (WIDTH,))):
        if options.only not in (None, name):
            continue
        torch.manual_seed(0)
        model = Counted(make())
        batches = [(torch.randn(BATCH, *shape), torch.randint(0, 10, (BATCH,))) for _ in range(BATCHES)]
        # Running statistics that are neither initial nor stale, as of a trained model.
        with torch.no_grad():
            for _ in range(3):
                for x, _ in batches:
                    model(x)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        alone = pass_seconds(model.eval(), batches)
        CALLS.clear()
        profile = cProfile.Profile()
        began = now()
        if options.profile:
            profile.enable()
        diagnosis = normwise.diagnose(model, batches, loss=nn.CrossEntropyLoss(), optimizer=optimiser)
        profile.disable()
        seconds = since(began)
        samples = sum(size * count for (gradients, size), count in CALLS.items() if not gradients)
        passes = samples / (BATCHES * BATCH)
        steps = sum(count for (gradients, _), count in CALLS.items() if gradients)
        print(
            f"{name:>9}  {len(diagnosis.examination.layers):>6}  "
            f"{alone[0]:>6.2f} s ({alone[1]:>5.2f})  {seconds[0]:>7.2f} s ({seconds[1]:>5.2f})  "
            f"{seconds[1] / alone[1]:>5.1f}  {passes:>6.2f}  {sum(CALLS.values())}, {steps} of them with gradients"
        )
        if options.profile:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main()
