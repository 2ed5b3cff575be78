"""A healthy trained model, kept on disk between runs, with what trains it."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks.doctor_calibration.recipes import Recipe
from benchmarks.doctor_calibration.samples import samples
from normwise.layers import batch_norms

CACHE = Path("build/doctor_calibration")
#: Rate of learning of each optimiser.
_RATES = {"sgd": 0.05, "adam": 3e-3, "adamw": 3e-3}


class Augmented(Dataset[tuple[Tensor, Tensor]]):
    """Images that are shifted by a pixel and get noise, anew each time."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return one image and its label."""
        rows, columns = torch.randint(-1, 2, (2,)).tolist()
        image = torch.roll(self.x[index], (rows, columns), (-2, -1))
        return image + 0.05 * torch.randn_like(image), self.y[index]


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model with its samples.

    Attributes:
        recipe: How it was made.
        state: Its state dict.
    """

    recipe: Recipe
    state: dict[str, Tensor]

    @cached_property
    def x(self) -> Tensor:
        """Inputs to train on."""
        return self._inputs(samples(self.recipe.data).x)

    @cached_property
    def y(self) -> Tensor:
        """Labels of the inputs to train on."""
        return samples(self.recipe.data).y

    @cached_property
    def test_x(self) -> Tensor:
        """Inputs to test on."""
        return self._inputs(samples(self.recipe.data).test_x)

    @cached_property
    def test_y(self) -> Tensor:
        """Labels of the inputs to test on."""
        return samples(self.recipe.data).test_y

    def model(self) -> nn.Module:
        """Return a copy of the model in evaluation."""
        model = self.recipe.build()
        model.load_state_dict(self.state)
        return model.eval()

    def loader(self, batch: int | None = None, count: int | None = None, **options: Any) -> DataLoader[Any]:
        """Return a loader of the training samples, in random order unless ``shuffle=False`` or a sampler is given.

        Args:
            batch: Number of samples of a batch; the recipe's by default.
            count: Number of samples; all by default.
            options: Further options of the loader.
        """
        x, y = self.x[:count], self.y[:count]
        data = Augmented(x, y) if self.recipe.augment else TensorDataset(x, y)
        options = {"shuffle": True, "generator": torch.Generator().manual_seed(self.recipe.seed)} | options
        return DataLoader(data, batch or self.recipe.batch, **options)

    def test(self) -> list[tuple[Tensor, Tensor]]:
        """Return batches of the test samples."""
        return list(zip(self.test_x.split(64), self.test_y.split(64), strict=True))

    def optimizer(self, model: nn.Module, decay: float | None = None) -> Optimizer:
        """Return the recipe's optimiser for a model."""
        return make_optimizer(self.recipe, model.parameters(), decay)

    def batches(self, steps: int, loader: DataLoader[Any] | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Return that many training batches, over as many passes as they take."""
        loader = loader or self.loader()
        done = 0
        while done < steps:
            for batch in loader:
                if done == steps:
                    return
                yield tuple(batch)
                done += 1

    def collect(self, model: nn.Module, steps: int, loader: DataLoader[Any] | None = None) -> None:
        """Let a model in training see batches, so that its statistics move and its weights do not."""
        model.train()
        with torch.no_grad():
            for x, _ in self.batches(steps, loader):
                model(x)
        model.eval()

    def learn(self, model: nn.Module, steps: int, loader: DataLoader[Any] | None = None) -> None:
        """Train a model further, with a rate of learning that falls to nothing."""
        optimizer = self.optimizer(model)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        model.train()
        for x, y in self.batches(steps, loader):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            schedule.step()
        model.eval()

    def _inputs(self, images: Tensor) -> Tensor:
        return images[:, 0] if self.recipe.takes_rows else images


def make_optimizer(recipe: Recipe, parameters: Any, decay: float | None = None) -> Optimizer:
    """Return the optimiser of a recipe for parameters or groups of them."""
    decay = recipe.decay if decay is None else decay
    rate = _RATES[recipe.optimizer]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, rate, momentum=0.9, weight_decay=decay)
    kind: Callable[..., Optimizer] = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, rate, weight_decay=decay)


def trained(recipe: Recipe) -> Trained:
    """Return the trained model of a recipe: from the cache, or trained now."""
    name = hashlib.sha256(f"{recipe} {torch.__version__}".encode()).hexdigest()[:16]
    path = CACHE / f"{name}.pt"
    if path.exists():
        return Trained(recipe, torch.load(path, weights_only=True))
    torch.manual_seed(recipe.seed)
    model = recipe.build()
    fresh = Trained(recipe, {})
    fresh.learn(model, recipe.epochs * (len(fresh.x) // recipe.batch))
    if recipe.momentum is None:
        # A plain average is for weights that don't change any more, as after averaging them.
        for kind in batch_norms(model).values():
            kind.layer.reset_running_stats()
        fresh.collect(model, len(fresh.x) // recipe.batch)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    CACHE.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return Trained(recipe, state)
