"""Faults of running statistics: BN2xx."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.doctor_calibration.plants.plant import FEED_FORWARD, SEQUENCES, Plants, norms
from benchmarks.doctor_calibration.trained import Trained
from normwise.doctor import Case

plants = Plants()
_LOSS = nn.CrossEntropyLoss()


def _evaluated(base: Trained, model: nn.Module) -> Case:
    return Case(model.eval(), base.test(), _LOSS)


def _reset(model: nn.Module, momentum: float | None = 0.1) -> None:
    for norm in norms(model).values():
        norm.reset_running_stats()
        norm.momentum = momentum


@plants.add("BN201", "momentum", {"0.001 for 200 steps": (0.001, 200), "0.01 for 60 steps": (0.01, 60)})
def slow(base: Trained, how: tuple[float, int]) -> Case:
    """Collect statistics anew, too slowly."""
    model = base.model()
    _reset(model, how[0])
    base.collect(model, how[1])
    return _evaluated(base, model)


@plants.add("BN201", "too few steps:", {"2": 2, "6": 6})
def few_steps(base: Trained, steps: int) -> Case:
    """Collect statistics anew, in too few steps."""
    model = base.model()
    _reset(model)
    base.collect(model, steps)
    return Case(model, base.loader(), _LOSS, base.optimizer(model))


@plants.add("BN201", "pruned afterwards:", {"masks": True, "for good": False}, on=FEED_FORWARD)
def pruned(base: Trained, masks: bool) -> Case:
    """Set six tenths of the weights before BN to 0."""
    model = base.model()
    for path, layer in model.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)) and path != "head":
            prune.l1_unstructured(layer, "weight", 0.6)
            if not masks:
                prune.remove(layer, "weight")
    return _evaluated(base, model)


@plants.add("BN201", "averaged weights, by hand", on=FEED_FORWARD, models=5)
def averaged_by_hand(base: Trained) -> Case:
    """Average the weights of a network in training, and take the last network's statistics."""
    torch.manual_seed(0)
    model = base.recipe.build()
    base.learn(model, 20)
    kept = [copy.deepcopy(model)]
    for _turn in range(3):
        base.learn(model, 60)
        kept.append(copy.deepcopy(model))
    with torch.no_grad():
        for each in zip(model.parameters(), *(one.parameters() for one in kept), strict=True):
            each[0].copy_(torch.stack(each[1:]).mean(0))
    return _evaluated(base, model)


@plants.add("BN202", "statistics reset", {"everywhere": None, "in one layer": 1, "everywhere, no data": 0})
def reset(base: Trained, count: int | None) -> Case:
    """Reset the statistics of trained layers, as a checkpoint without buffers does."""
    model = base.model()
    for norm in list(norms(model).values())[: count or None]:
        norm.reset_running_stats()
    return Case(model) if count == 0 else _evaluated(base, model)


@plants.add("BN202", "statistics that training never moved", on=FEED_FORWARD)
def never_moved(base: Trained) -> Case:
    """Train with momentum 0."""
    model = base.model()
    _reset(model, 0.0)
    base.collect(model, 5)
    return _evaluated(base, model)


@plants.add(
    "BN203",
    "one channel:",
    {
        "NaN mean": ("running_mean", float("nan"), True),
        "infinite variance": ("running_var", float("inf"), True),
        "negative variance": ("running_var", -9.7, True),
        "NaN variance, no data": ("running_var", float("nan"), False),
    },
)
def broken(base: Trained, how: tuple[str, float, bool]) -> Case:
    """Write a number that can be no statistic into a channel of the last layer."""
    model = base.model()
    *_, last = norms(model).values()
    getattr(last, how[0])[0] = how[1]
    return _evaluated(base, model) if how[2] else Case(model)


@plants.add(
    "BN204", "swapped", {"everywhere": (None, True), "in one layer": (1, True), "no data": (None, False)}
)
def swapped(base: Trained, how: tuple[int | None, bool]) -> Case:
    """Swap means and variances."""
    model = base.model()
    for norm in list(norms(model).values())[: how[0]]:
        mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        norm.running_mean, norm.running_var = variance.clone(), mean.clone()
    return _evaluated(base, model) if how[1] else Case(model)


@plants.add("BN205", "momentum of another framework:", {"0.99": 0.99, "0.9": 0.9, "0.999": 0.999})
def foreign_momentum(base: Trained, momentum: float) -> Case:
    """Train with it."""
    model = base.model()
    for norm in norms(model).values():
        norm.momentum = momentum
    base.learn(model, 40)
    return Case(model, base.loader(), _LOSS, base.optimizer(model))


def _sorted(base: Trained) -> DataLoader[Any]:
    order = base.y.argsort()
    return DataLoader(TensorDataset(base.x[order], base.y[order]), base.recipe.batch)


@plants.add("BN206", "sorted by class:", {"the loader": 0, "the loader of the statistics": 1}, models=5)
def ordered(base: Trained, passes: int) -> Case:
    """Give the batches in the order of the classes."""
    model, loader = base.model(), _sorted(base)
    base.collect(model, passes * len(loader), loader)
    return Case(model, loader, _LOSS, base.optimizer(model))


@plants.add("BN207", "padding", {"of 0": 0.0, "of -1": -1.0}, on=SEQUENCES, models=5)
def padding(base: Trained, value: float) -> Case:
    """Train on sequences of different lengths, padded."""
    lengths = torch.randint(
        3, base.x.shape[1] + 1, (len(base.x),), generator=torch.Generator().manual_seed(0)
    )
    is_real = torch.arange(base.x.shape[1]) < lengths[:, None]
    x = torch.where(is_real[..., None], base.x, torch.tensor(value))
    model = base.model()
    data = TensorDataset(x, base.y)
    loader = DataLoader(data, base.recipe.batch, shuffle=True, generator=torch.Generator().manual_seed(0))
    base.learn(model, 200, loader)
    return Case(model, loader, _LOSS, base.optimizer(model))


@plants.add(
    "BN208",
    "inputs",
    {"times 16": (16.0, 0.0), "over 255": (1 / 255, 0.0), "plus 2": (1.0, 2.0), "reversed": (-1.0, 1.0)},
    models=5,
)
def shifted_inputs(base: Trained, how: tuple[float, float]) -> Case:
    """Give other inputs than those of training."""
    factor, offset = how
    return Case(base.model(), [(x * factor + offset, y) for x, y in base.test()], _LOSS)


class EMA(nn.Module):
    """An exponential moving average of parameters, as people write it."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.module, self.decay = copy.deepcopy(model).requires_grad_(False), decay

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the average."""
        return self.module(x)

    def update(self, model: nn.Module) -> None:
        """Average the parameters, and forget the buffers."""
        with torch.no_grad():
            for mine, other in zip(self.module.parameters(), model.parameters(), strict=True):
                mine.lerp_(other, 1 - self.decay)


def moving_average(base: Trained, before: int) -> EMA:
    """Return a moving average that began after some steps of training."""
    torch.manual_seed(0)
    model = base.recipe.build()
    if before:
        base.learn(model, before)
    average = EMA(model, 0.95)
    optimizer = base.optimizer(model)
    model.train()
    for x, y in base.batches(150):
        optimizer.zero_grad()
        _LOSS(model(x), y).backward()
        optimizer.step()
        average.update(model)
    return average


@plants.add("BN209", "average of parameters only", {"from the beginning": 0, "after 20 steps": 20}, models=5)
def averaged(base: Trained, before: int) -> Case:
    """Average parameters, and leave the buffers of the copy."""
    return _evaluated(base, moving_average(base, before))


@plants.add("BN202", "average of parameters only, as a plain model", models=5)
def averaged_plain(base: Trained) -> Case:
    """Take the model out of its wrapper."""
    return _evaluated(base, moving_average(base, 0).module)


@plants.add("BN209", "AveragedModel of four states of a training", on=FEED_FORWARD, models=5)
def averaged_states(base: Trained) -> Case:
    """Average as torch does, which takes the buffers of the newest model."""
    torch.manual_seed(0)
    model = base.recipe.build()
    base.learn(model, 20)
    average = AveragedModel(model)
    for _turn in range(4):
        base.learn(model, 60)
        average.update_parameters(model)
    return _evaluated(base, average)
