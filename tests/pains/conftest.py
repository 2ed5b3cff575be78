"""A network with BN that was trained well, and the data that it was trained on."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F


@pytest.fixture(scope="session")
def data() -> tuple[Tensor, Tensor]:
    """600 points of three classes, whose features are of different size and far from zero."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(600) % 3
    centres = 2 * torch.randn(3, 8, generator=generator)
    points = centres[labels] + torch.randn(600, 8, generator=generator)
    return 20 + 5 * points, labels


@pytest.fixture(scope="session")
def _trained(data: tuple[Tensor, Tensor]) -> nn.Sequential:
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU(),
            nn.Linear(16, 3),
        )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(150):
        index = torch.randperm(600, generator=generator)[:60]
        optimizer.zero_grad()
        F.cross_entropy(model(data[0][index]), data[1][index]).backward()
        optimizer.step()
    return model.eval()


@pytest.fixture
def trained(_trained: nn.Sequential) -> nn.Sequential:
    """In evaluation; a copy for each test."""
    return copy.deepcopy(_trained)


@pytest.fixture
def loss(data: tuple[Tensor, Tensor]):
    """The loss of a model on the data, in the mode that it is in."""

    def of(model: nn.Module) -> float:
        with torch.no_grad():
            return F.cross_entropy(model(data[0]), data[1]).item()

    return of
