"""A small network that was trained on real data, and batches of these."""

import copy

import pytest
import torch
from torch import Tensor, nn

from normwise.data import digits

Batches = list[tuple[Tensor, Tensor]]


@pytest.fixture(scope="session")
def images() -> tuple[Tensor, Tensor]:
    """Images of digits and their labels, in random order."""
    data = digits()
    order = torch.randperm(len(data.train_labels), generator=torch.Generator().manual_seed(0))
    return data.train_images[order], data.train_labels[order]


@pytest.fixture(scope="session")
def batches(images: tuple[Tensor, Tensor]) -> Batches:
    """Twenty batches of 32 images."""
    x, y = images
    return list(zip(x.split(32), y.split(32), strict=True))[:20]


@pytest.fixture(scope="session")
def trained_once(images: tuple[Tensor, Tensor]) -> nn.Sequential:
    """A network of three BN layers, trained until its statistics are settled."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [
            layer
            for size in (64, 32, 32)
            for layer in (nn.Linear(size, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU())
        ]
        model = nn.Sequential(nn.Flatten(), *layers, nn.Linear(32, 10))
        optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
        for epoch in range(8):
            for group in optimizer.param_groups:
                group["lr"] = 0.05 * (1 - epoch / 8)
            for x, y in zip(*(part.split(32) for part in images), strict=True):
                if len(x) == 32:
                    optimizer.zero_grad()
                    nn.functional.cross_entropy(model(x), y).backward()
                    optimizer.step()
    return model.eval()


@pytest.fixture
def trained(trained_once: nn.Sequential) -> nn.Sequential:
    """A copy of that network, to be changed."""
    return copy.deepcopy(trained_once)
