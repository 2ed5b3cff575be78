"""Faults of batches and of training steps: BN5xx."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.doctor_calibration.plants.plant import FEED_FORWARD, Plants
from benchmarks.doctor_calibration.recipes import Recipe
from benchmarks.doctor_calibration.trained import Trained
from normwise.doctor import Case

plants = Plants()
_LOSS = nn.CrossEntropyLoss()


def _trains(base: Trained, loader: Any, loss: Callable[..., Any] = _LOSS) -> Case:
    model = base.model().train()
    return Case(model, loader, loss, base.optimizer(model, decay=0.0))


def _by_sample(recipe: Recipe) -> bool:
    return recipe.kind == "dense" or recipe.place == "last"


@plants.add("BN501", "batches of 1", on=("dense", "lstm"), models=6, suits=_by_sample)
def single(base: Trained) -> Case:
    """Train on single samples."""
    return _trains(base, base.loader(1))


@plants.add("BN501", "a last batch of 1", on=("dense", "lstm"), models=6, suits=_by_sample)
def single_last(base: Trained) -> Case:
    """Leave one sample for the last batch."""
    return _trains(base, base.loader(32, 961))


class _Pooled(nn.Module):
    """A network with a BN layer behind global pooling, as some heads have."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) + self.head(self.pool(x).flatten(1))


@plants.add("BN501", "batches of 1, and BN behind global pooling", on=("cnn", "resnet"), models=5)
def single_pooled(base: Trained) -> Case:
    """Train on single images a network with a branch of 1×1 planes."""
    torch.manual_seed(0)
    model = _Pooled(base.model())
    base.learn(model, 60)
    model.train()
    return Case(model, base.loader(1), _LOSS, base.optimizer(model, decay=0.0))


@plants.add("BN502", "a last batch of", {"2 after 64": (64, 2), "3 after 32": (32, 3)}, models=5)
def tiny_last(base: Trained, how: tuple[int, int]) -> Case:
    """Leave few samples for the last batch."""
    batch, left = how
    return _trains(base, base.loader(batch, 14 * batch + left))


@plants.add("BN503", "batches of", {"2": 2, "3": 3}, on=("dense", "lstm"), models=6, suits=_by_sample)
def small_batches(base: Trained, batch: int) -> Case:
    """Train on a few samples at once."""
    model = base.model()
    base.learn(model, 300, base.loader(batch, 960))
    model.train()
    return Case(model, base.loader(batch, 960), _LOSS, base.optimizer(model, decay=0.0))


@plants.add(
    "BN504",
    "gradients of",
    {"4 batches": 4, "8 batches": 8},
    models=5,
    suits=lambda recipe: recipe.batch >= 32,
)
def accumulated(base: Trained, parts: int) -> Case:
    """Take the loss of a batch in parts."""

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        total = torch.zeros(())
        for x, y in zip(*(part.chunk(parts) for part in batch), strict=True):
            part = F.cross_entropy(model(x), y) / parts
            if part.requires_grad:
                part.backward()
            total += part.detach()
        return total

    return _trains(base, base.loader(64, 1280), loss)


class _Checkpointed(nn.Module):
    def __init__(self, model: nn.Module, reentrant: bool) -> None:
        super().__init__()
        self.model, self.reentrant = model, reentrant

    def forward(self, x: Tensor) -> Any:
        x = x.requires_grad_() if self.training else x
        return checkpoint(self.model, x, use_reentrant=self.reentrant)


@plants.add("BN505", "checkpointing", {"reentrant": True, "not reentrant": False}, on=FEED_FORWARD, models=5)
def checkpointed(base: Trained, reentrant: bool) -> Case:
    """Compute activations anew in the backward pass."""
    model = _Checkpointed(base.model(), reentrant).train()
    return Case(model, base.loader(), _LOSS, base.optimizer(model, decay=0.0))


@plants.add("BN506", "two forward passes a step:", {"images and noise": 0, "images and others": 1}, models=5)
def two_passes(base: Trained, kind: int) -> Case:
    """Call the model on two kinds of data before one backward pass."""

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        other = torch.rand_like(x) * 2 if kind == 0 else 3 - 2 * x
        return F.cross_entropy(model(x), y) + model(other).softmax(1).square().sum(1).mean()

    model = base.model()
    optimizer = base.optimizer(model, decay=0.0)
    model.train()
    for batch in base.batches(60):
        optimizer.zero_grad()
        loss(model, batch).backward()
        optimizer.step()
    data = DataLoader(TensorDataset(base.x, base.y), base.recipe.batch, shuffle=True)
    return Case(model, data, loss, optimizer)
