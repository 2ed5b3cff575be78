"""Faults of several processes: BN511 to BN514. Both processes are in this one, and asked in turn."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import normwise
from benchmarks.doctor_calibration.plants.plant import FEED_FORWARD, Plants
from benchmarks.doctor_calibration.recipes import Recipe
from benchmarks.doctor_calibration.trained import Trained
from normwise.doctor import Case

plants = Plants()
_LOSS = nn.CrossEntropyLoss()


def _by_sample(recipe: Recipe) -> bool:
    return recipe.kind == "dense" or recipe.place == "last"


def shard(base: Trained, rank: int, *, by_class: bool = False, batch: int | None = None) -> DataLoader[Any]:
    """Return the loader of one of two processes: of every other sample, or of the even or the odd digits."""
    mine = base.y % 2 == rank if by_class else torch.arange(len(base.y)) % 2 == rank
    count = len(base.y) // 2 // 32 * 32 - 64
    x, y = base.x[mine][:count], base.y[mine][:count]
    generator = torch.Generator().manual_seed(base.recipe.seed + rank)
    return DataLoader(
        TensorDataset(x, y), batch or min(base.recipe.batch, 64), shuffle=True, generator=generator
    )


def pair(base: Trained, models: list[nn.Module], loaders: list[Any]) -> Case:
    """Return two processes in training."""
    first, second = (
        Case(model.train(), loader, _LOSS, base.optimizer(model, decay=0.0))
        for model, loader in zip(models, loaders, strict=True)
    )
    return Case(first.model, first.data, first.loss, first.optimizer, ranks=(second,))


@plants.add("BN511", "local statistics of the even and of the odd digits", models=8)
def apart(base: Trained) -> Case:
    """Let each process see one half of the classes, and evaluate with what it saw."""
    models = [base.model(), base.model()]
    for rank, model in enumerate(models):
        base.collect(model, 60, shard(base, rank, by_class=True))
    first, second = (Case(model, base.test(), _LOSS) for model in models)
    return Case(first.model, first.data, first.loss, ranks=(second,))


@plants.add("BN512", "one batch less in one of two processes,", {"synchronised": 1, "local": 0}, models=4)
def uneven(base: Trained, synchronised: int) -> Case:
    """Drop the last batch of one process."""
    models = [base.model(), base.model()]
    if synchronised:
        models = [normwise.convert(model, "sync")[0] for model in models]
    loaders = [list(shard(base, 0)), list(shard(base, 1))[:-1]]
    return pair(base, models, loaders)


class _Branching(nn.Module):
    """A network with a second head that some processes call."""

    def __init__(self, model: nn.Module, takes: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model, self.takes = model, takes
        self.extra = nn.Sequential(
            nn.Flatten(),
            nn.LazyLinear(16, bias=False),
            normwise.nn.SyncBatchNorm(16),
            nn.ReLU(),
            nn.Linear(16, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) + self.extra(x) if self.takes else self.model(x)


@plants.add("BN513", "a head that one of two processes calls", on=FEED_FORWARD, models=6)
def branching(base: Trained) -> Case:
    """Train with the head, and call it on one process only."""
    model = _Branching(normwise.convert(base.model(), "sync")[0], takes=True)
    model(base.x[:8])
    base.learn(model, 60)
    models = [model, copy.deepcopy(model)]
    models[1].takes = False
    return pair(base, [*models], [shard(base, rank) for rank in range(2)])


@plants.add(
    "BN514",
    "two processes with batches of",
    {"4": 4, "8": 8},
    on=("dense", "lstm"),
    models=5,
    suits=_by_sample,
)
def few_values(base: Trained, batch: int) -> Case:
    """Train with local layers on small batches."""
    models = [base.model(), base.model()]
    loaders = [shard(base, rank, batch=batch) for rank in range(2)]
    for model, loader in zip(models, loaders, strict=True):
        base.collect(model, 60, loader)
    return pair(base, models, loaders)
