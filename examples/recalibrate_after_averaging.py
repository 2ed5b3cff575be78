"""Weights are averaged, and nobody averaged what BN knows of its inputs: the statistics must be computed anew.

Run: python examples/recalibrate_after_averaging.py (the digits need pip install 'normwise[study]')

The average of the weights of several epochs (stochastic weight averaging) generalises better than the last ones. But
the running statistics in the averaged model are those of other weights, and it evaluates badly until they are
recomputed. ``torch.optim.swa_utils.update_bn`` does that, with the average of the batches' variances; it leaves out
what the batches' means differ by, and counts a small last batch as a full one.
"""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, update_bn

import normwise
from normwise.data import digits


def main() -> None:
    """Train, average, evaluate three times."""
    torch.manual_seed(0)
    data = digits()
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10),
    )  # fmt: skip
    model.eval()(data.train_images[:1])  # tells the lazy layer its size
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    averaged = AveragedModel(model)
    for _ in range(6):
        model.train()
        order = torch.randperm(len(data.train_images))
        for index in order.split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(data.train_images[index]), data.train_labels[index]).backward()
            optimizer.step()
        averaged.update_parameters(model)

    # Sorted by class, as files in folders by class are: no trouble for calibrate.
    batches = data.train_images[data.train_labels.sort().indices].split(64)

    def accuracy(trained: nn.Module) -> float:
        with torch.no_grad():
            hits = trained.eval()(data.test_images).argmax(1) == data.test_labels
        return hits.double().mean().item()

    by_torch = copy.deepcopy(averaged)
    print(f"averaged weights, old statistics   {accuracy(averaged):.2%}")
    update_bn(batches, by_torch)
    print(f"after update_bn                    {accuracy(by_torch):.2%}")
    report = normwise.calibrate(averaged, batches)
    print(f"after normwise.calibrate           {accuracy(averaged):.2%}")
    print(report)


if __name__ == "__main__":
    main()
