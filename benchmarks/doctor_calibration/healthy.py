"""Healthy models: what proves that they are, and what the doctor is given of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.doctor_calibration.outcome import Outcome, outcome_of
from benchmarks.doctor_calibration.plants.processes import pair, shard
from benchmarks.doctor_calibration.recipes import Recipe
from benchmarks.doctor_calibration.trained import Trained, trained
from normwise.doctor import Case
from normwise.layers import batch_norms

#: Accuracy on the test samples that a healthy model has.
LEAST_ACCURACY = 0.9
#: Values per channel of a batch from which two processes may train it with local statistics.
FEWEST = 16
#: How much higher it may be with batch statistics.
MOST_GAIN = 0.02
_LOSS = nn.CrossEntropyLoss()


@dataclass(frozen=True)
class Health:
    """Accuracy of a model on the test samples.

    Attributes:
        model: Words for the model.
        running: With the running statistics.
        batch: With those of each batch.
    """

    model: str
    running: float
    batch: float

    @property
    def is_healthy(self) -> bool:
        """True where the model evaluates well, and no worse than with batch statistics."""
        return self.running >= LEAST_ACCURACY and self.batch - self.running <= MOST_GAIN


def health_of(base: Trained) -> Health:
    """Measure the accuracies, without the doctor."""
    model = base.model()
    running = _accuracy(model, base.test())
    for kind in batch_norms(model).values():
        kind.layer.train()
    return Health(base.recipe.name, running, _accuracy(model, base.test()))


def visits(base: Trained) -> Iterator[Outcome]:
    """Diagnose a healthy model alone, on test samples, as it trains, and as two processes do with local statistics."""
    name = base.recipe.name
    model = base.model()
    yield outcome_of(Case(model), name, "alone")
    # Every other model without labels.
    data = base.test() if base.recipe.seed % 2 else [x for x, _ in base.test()]
    yield outcome_of(Case(model, data, _LOSS if base.recipe.seed % 2 else None), name, "on test samples")
    model = base.model().train()
    yield outcome_of(Case(model, base.loader(), _LOSS, base.optimizer(model)), name, "as it trains")
    if base.recipe.batch >= FEWEST:
        models = [base.model(), base.model()]
        loaders = [shard(base, rank) for rank in range(2)]
        for each, loader in zip(models, loaders, strict=True):
            base.collect(each, 60, loader)
        yield outcome_of(pair(base, models, loaders), name, "as two processes train it")


def examined(recipe: Recipe) -> tuple[Health, list[Outcome]]:
    """Return the health of a recipe's model, and what the doctor said of it."""
    torch.set_num_threads(1)
    base = trained(recipe)
    return health_of(base), list(visits(base))


def _accuracy(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> float:
    with torch.no_grad():
        right = [(model(x).argmax(1) == y).sum().item() for x, y in batches]
    return sum(right) / sum(len(y) for _, y in batches)
