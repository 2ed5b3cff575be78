"""A residual network, and faults that surgery could make in it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normwise.surgery.core.shadow_copy import shadow_copy


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.bn1, self.bn2 = (nn.BatchNorm2d(channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + x)


class Net(nn.Module):
    """A residual network that was trained, to go by its statistics; it may enter autocast itself."""

    def __init__(self, autocast: torch.dtype | None = None, device_type: str = "cpu") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.autocast, self.device_type = autocast, device_type
        self.stem, self.bn = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(Block(8), Block(8), Block(8))
        self.head = nn.Linear(8, 5)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias)
                nn.init.normal_(layer.get_buffer("running_mean"))
                nn.init.uniform_(layer.get_buffer("running_var"), 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(self.device_type, self.autocast, enabled=self.autocast is not None):
            return self._computed(x)

    def _computed(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.bn(self.stem(x))))
        return self.head(x.mean((2, 3)))


class Plain(Net):
    forward = Net._computed


def with_scale(layer: nn.BatchNorm2d, x: Tensor) -> Tensor:
    weight = 1.05 * layer.weight
    return F.batch_norm(
        x, layer.running_mean, layer.running_var, weight, layer.bias, layer.training, 0.1, layer.eps
    )


def with_activation(block: Block, x: Tensor) -> Tensor:
    y = F.silu(block.bn1(block.conv1(x)))
    return F.relu(block.bn2(block.conv2(y)) + x)


def without_residual(block: Block, x: Tensor) -> Tensor:
    y = F.relu(block.bn1(block.conv1(x)))
    return F.relu(block.bn2(block.conv2(y)))


FAULTS: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "γ of the first layer": ("bn", with_scale),
    "γ of a layer within": ("blocks.1.bn1", with_scale),
    "γ of the last layer": ("blocks.2.bn2", with_scale),
    "activation": ("blocks.1", with_activation),
    "residual": ("blocks.0", without_residual),
}


def faulty(model: nn.Module, fault: str) -> nn.Module:
    """Return a model over the same parameters with a fault in it."""
    path, forward = FAULTS[fault]
    new = shadow_copy(model)
    module = new.get_submodule(path)
    module.__class__ = type("Faulty", (type(module),), {"forward": forward})
    return new
