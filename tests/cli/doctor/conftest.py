"""A user's folder with networks, data, losses and optimisers to be diagnosed."""

from pathlib import Path

import pytest

_TRAIN = """
import torch
from torch import nn

def _net(momentum):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=momentum), nn.ReLU(), nn.Linear(8, 3)
    )

def loader():
    generator = torch.Generator().manual_seed(1)
    for _ in range(6):
        inputs = 3 * torch.randn(64, 4, generator=generator) + 2
        yield inputs, (inputs[:, 0] > 2).long()

def _trained(momentum):
    net = _net(momentum)
    adam = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(20):
        for inputs, labels in loader():
            adam.zero_grad()
            nn.functional.cross_entropy(net(inputs), labels).backward()
            adam.step()
    with torch.no_grad():
        for inputs, _ in [*loader()] * 10:
            net(inputs)
    return net

def healthy():
    return _trained(0.1)

def stale():
    return _trained(0.0005)

def several():
    first = [nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4, momentum=0.001)]
    torch.manual_seed(0)
    net = nn.Sequential(*first, nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=0.001), nn.Linear(8, 3))
    net(next(loader())[0])
    return net

held = healthy().eval()
loss = nn.CrossEntropyLoss()
criterion = nn.CrossEntropyLoss
number = 3.0

def make_loss():
    return nn.CrossEntropyLoss()

def optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)

held_optimizer = torch.optim.SGD(held.parameters(), lr=0.1)

def failing():
    yield next(loader())
    raise ValueError("the disk is gone")

def odd():
    return ["a text", "another"]

def empty():
    return iter([])

def plain():
    return nn.Linear(4, 3)
"""


@pytest.fixture(autouse=True)
def _train_file(folder: Path) -> None:
    (folder / "train.py").write_text(_TRAIN, encoding="utf-8")
