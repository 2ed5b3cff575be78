"""Models of many kinds, for which every operation keeps its promises."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.optim.swa_utils import AveragedModel

from normwise.nn import BatchRenorm2d, GhostBatchNorm2d, SyncBatchNorm
from tests.support.operations import Example


class Network(nn.Module):
    """A convolution with BN and one without, a residual, and a head of two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu1 = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()
        self.conv2, self.relu2 = nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()
        self.block = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
        self.head = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 2))

    def features(self, x: Tensor) -> Tensor:
        x = self.relu2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return torch.relu(self.block(x) + x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


class InPlace(Network):
    """A forward pass that writes into its input, and would do so again when called again."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.relu_(x.add_(0.5)))


class CountsInBuffers(Network):
    """One buffer is written into, one is exchanged, and one is exchanged by ``register_buffer``."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("other", torch.zeros(2))
        self.plain = torch.zeros(2)

    def forward(self, x: Tensor) -> Tensor:
        self.steps += 1
        self.other = self.other + 1
        self.plain += 1
        return super().forward(x)


class Meter:
    def __init__(self) -> None:
        self.count = 0
        self.values: list[float] = []


class CountsInAttributes(Network):
    """Attributes, lists, dicts, arrays and objects are written into."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.log, self.shapes = 0, [], {}
        self.nested, self.meter, self.array = [[0]], Meter(), np.zeros(2)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.log.append(len(x))
        self.shapes[f"call {self.calls}"] = tuple(x.shape)
        self.nested[0][0] += 1
        self.meter.count += 1
        self.meter.values.append(1.0)
        self.array += 1
        self.last_mean = 0.0
        return super().forward(x)


class Draws(Network):
    """Random numbers of each kind are drawn, which change the outputs by rounding only."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.generator = random.Random(0), torch.Generator()
        self.numpy = np.random.default_rng(0)

    def forward(self, x: Tensor) -> Tensor:
        size = random.random() + np.random.rand() + torch.rand(()) + self.own.random() + self.numpy.random()  # noqa: NPY002
        return super().forward(x + 1e-30 * (size + torch.rand((), generator=self.generator)))


class TrainReturnsNone(Network):
    """As mmdetection writes it: ``train`` keeps a layer in evaluation, and returns nothing."""

    def train(self, mode: bool = True) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().train(mode)
        self.bn1.eval()


class TakesKeywords(Network):
    def forward(self, *, image: Tensor, scale: Tensor | None = None, flag: bool = False) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        x = image if scale is None else image * scale
        return super().forward(x) if not flag else x


class HoldsLists(Network):
    """Modules in a list, and in a dict, of which the forward pass makes use."""

    def __init__(self) -> None:
        super().__init__()
        self.order = [self.conv1, self.bn1, self.relu1]
        self.named = {"conv": self.conv2, "act": self.relu2}

    def features(self, x: Tensor) -> Tensor:
        for module in self.order:
            x = module(x)
        x = self.named["act"](self.named["conv"](x))
        return torch.relu(self.block(x) + x)


class Ties(Network):
    """One module in two places, and one parameter in two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.relu2 = self.relu1
        self.again = self.block
        self.conv1b = nn.Conv2d(3, 4, 3, padding=1)
        self.conv1b.weight = self.conv1.weight

    def features(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x))) + self.conv1b(x)
        return self.again(self.relu2(self.conv2(x))) + self.block(x)


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


class Opaque(Network):
    """A forward pass that decides by values."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.features(x)
        if x.mean() > 10:
            y = y + self.block[0](y)
        return self.head(y.mean((2, 3)))


class Flagged(Network):
    """Training does something else than evaluation."""

    def features(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        if self.training:
            y = y * 1.5
        return self.relu2(self.conv2(self.relu1(self.bn1(y))))


def _small_batches(network: Network) -> Network:
    network.bn1, network.head[1] = GhostBatchNorm2d(4, virtual_batch_size=2), SyncBatchNorm(6)
    network.block[1] = BatchRenorm2d(4, warmup_steps=0)
    return network


def _bound(network: nn.Module) -> nn.Module:
    # A forward pass on the instance that a copy takes along.
    network.forward = Network.forward.__get__(network)
    return network


def _parametrized(network: Network) -> Network:
    parametrizations.weight_norm(network.conv1)
    parametrize.register_parametrization(network.block[1], "weight", Doubled())
    parametrize.register_parametrization(network.bn1, "running_var", Doubled())
    return network


def _randomised(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            centred, positive = (-1, 1), (0.5, 2)
            bounds = {"weight": positive, "bias": centred, "running_mean": centred, "running_var": positive}
            for name, (low, high) in bounds.items():
                with torch.no_grad():
                    tensor = getattr(module, name)
                    if not parametrize.is_parametrized(module, name):
                        tensor.uniform_(low, high)
    return model


@dataclass(frozen=True)
class Subject:
    """A kind of model, and an example for it.

    Attributes:
        name: For the test's name.
        make: Gives a new model.
        example: Gives a new example.
    """

    name: str
    make: Callable[[], nn.Module]
    example: Callable[[], Example] = field(default=lambda: torch.randn(4, 3, 6, 6, generator=_seeded()))

    def model(self) -> nn.Module:
        """A model in evaluation, apart from its last layer, with statistics as after training."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = _randomised(self.make())
        model.eval()
        list(model.modules())[-1].training = True
        for number, parameter in enumerate(model.parameters()):
            parameter.grad = torch.full_like(parameter, float(number))
        return model


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def _keywords() -> Example:
    return {"image": torch.randn(4, 3, 6, 6, generator=_seeded()), "scale": torch.tensor(0.5)}


SUBJECTS = [
    Subject("plain", Network),
    Subject("in place", InPlace),
    Subject("in-place ReLU first", lambda: nn.Sequential(nn.ReLU(inplace=True), Network())),
    Subject("counts in buffers", CountsInBuffers),
    Subject("counts in attributes", CountsInAttributes),
    Subject("draws", Draws),
    Subject("train returns None", TrainReturnsNone),
    Subject("takes keywords", TakesKeywords, _keywords),
    Subject("holds lists", HoldsLists),
    Subject("ties", Ties),
    Subject("opaque", Opaque),
    Subject("flagged", Flagged),
    Subject("small batches", lambda: _small_batches(Network())),
    Subject("bound forward", lambda: _bound(Network())),
    Subject("parametrized", lambda: _parametrized(Network())),
    Subject("averaged", lambda: AveragedModel(Network())),
    Subject("a tuple", Network, lambda: (torch.randn(4, 3, 6, 6, generator=_seeded()), torch.arange(4))),
    Subject("zeros", Network, lambda: torch.zeros(4, 3, 6, 6)),
]
