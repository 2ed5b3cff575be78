"""A deep network that doesn't begin to learn gets BN, and does.

Run: python examples/add_batch_norm.py (the digits need pip install 'normwise[study]')

``normwise.insert`` puts BN before the activations, and takes away the biases that it cancels. With the training
images as data, the layers begin with statistics with which the network computes, in evaluation, what it did before.
Both networks then train on the same batches; the optimiser that was the old one's goes on with the new one.
"""

import copy

import torch
from torch import nn
from torch.nn import functional as F

import normwise
from normwise.data import ImageData, digits


def network() -> nn.Sequential:
    """Six convolutions and a linear layer."""
    layers: list[nn.Module] = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()]
    for _ in range(5):
        layers += [nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, 10))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, data: ImageData) -> None:
    """Train for an epoch, on the same batches each time."""
    generator = torch.Generator().manual_seed(1)
    model.train()
    for index in torch.randperm(len(data.train_images), generator=generator).split(64):
        optimizer.zero_grad()
        F.cross_entropy(model(data.train_images[index]), data.train_labels[index]).backward()
        optimizer.step()


def accuracy(model: nn.Module, data: ImageData) -> float:
    """Return the share of test images whose digit the model finds."""
    with torch.no_grad():
        hits = model.eval()(data.test_images).argmax(1) == data.test_labels
    return hits.double().mean().item()


def main() -> None:
    """Insert BN, and train with and without."""
    torch.manual_seed(0)
    data = digits()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    old, old_optimizer = copy.deepcopy((model, optimizer))

    batches = data.train_images.split(256)
    model, report = normwise.insert(model, data.train_images[:64], data=batches, optimizer=optimizer)
    print(report)

    for epoch in range(1, 4):
        train(old, old_optimizer, data)
        train(model, optimizer, data)
        print(f"epoch {epoch}: {accuracy(old, data):.1%} without, {accuracy(model, data):.1%} with BN")


if __name__ == "__main__":
    main()
