"""A backbone that is not to change: requires_grad=False holds its weights, and its BN statistics move all the same.

Run: python examples/freeze_for_fine_tuning.py (the digits need pip install 'normwise[study]')

A network learns the digits 0 to 4. Then a new head on the same backbone learns 5 to 9, from darker images, while the
backbone is to stay what it is, for both heads. In training a BN layer normalises with the batch's statistics, and
moves its running ones towards them, whether its parameters require a gradient or not; and each ``model.train()``
undoes an earlier ``.eval()``. So the old head gets other features than it was trained on. ``normwise.freeze`` lasts
until ``normwise.unfreeze``. It has its price: statistics that stay are not those of the darker images.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise
from normwise.data import digits


def train(backbone: nn.Module, head: nn.Module, images: Tensor, labels: Tensor, epochs: int) -> None:
    """Train what requires a gradient, in the mode in which one trains."""
    model = nn.Sequential(backbone, head).train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    for _ in range(epochs):
        for index in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(images[index]), labels[index]).backward()
            optimizer.step()


def accuracy(backbone: nn.Module, head: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of images whose label the head finds."""
    with torch.no_grad():
        hits = nn.Sequential(backbone, head).eval()(images).argmax(1) == labels
    return hits.double().mean().item()


def moved(backbone: nn.Module, before: nn.Module) -> float:
    """Return the largest movement of a running mean, in standard deviations."""
    shifts = []
    for layer, old in zip(backbone.modules(), before.modules(), strict=True):
        if isinstance(old, nn.BatchNorm2d):
            shift = layer.get_buffer("running_mean") - old.get_buffer("running_mean")
            shifts.append((shift.abs() / old.get_buffer("running_var").sqrt()).max())
    return max(shifts).item()


def main() -> None:
    """Fine-tune twice."""
    torch.manual_seed(0)
    data = digits()
    low, low_test = data.train_labels < 5, data.test_labels < 5
    old_task = data.train_images[low], data.train_labels[low]
    old_test = data.test_images[low_test], data.test_labels[low_test]
    new_task = 0.7 * data.train_images[~low], data.train_labels[~low] - 5
    new_test = 0.7 * data.test_images[~low_test], data.test_labels[~low_test] - 5

    backbone = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(),
    )  # fmt: skip
    old_head = nn.Linear(32, 5)
    train(backbone, old_head, *old_task, epochs=5)
    print(f"before                    old task {accuracy(backbone, old_head, *old_test):.1%}")

    # The usual way: no gradient for the backbone.
    plain = copy.deepcopy(backbone).requires_grad_(False)
    head = nn.Linear(32, 5)
    train(plain, head, *new_task, epochs=5)
    print(
        f"requires_grad_(False)     old task {accuracy(plain, old_head, *old_test):.1%}, "
        f"new task {accuracy(plain, head, *new_test):.1%}, "
        f"running means moved by up to {moved(plain, backbone):.2f} σ"
    )

    # The same, and statistics that stay.
    frozen = copy.deepcopy(backbone).requires_grad_(False)
    normwise.freeze(frozen)
    head = nn.Linear(32, 5)
    train(frozen, head, *new_task, epochs=5)
    print(
        f"and normwise.freeze       old task {accuracy(frozen, old_head, *old_test):.1%}, "
        f"new task {accuracy(frozen, head, *new_test):.1%}, "
        f"running means moved by up to {moved(frozen, backbone):.2f} σ"
    )

    print(f"thawed again: {', '.join(normwise.unfreeze(frozen).layers)}")


if __name__ == "__main__":
    main()
