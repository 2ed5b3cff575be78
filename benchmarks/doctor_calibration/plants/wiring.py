"""Faults of wiring: BN1xx."""

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.doctor_calibration import networks
from benchmarks.doctor_calibration.plants.plant import (
    ALL,
    FEED_FORWARD,
    SEQUENCES,
    WITH_UNITS,
    Plants,
    before_activation,
    norms,
    weighted_before_norms,
)
from benchmarks.doctor_calibration.recipes import Recipe
from benchmarks.doctor_calibration.trained import Trained
from normwise.doctor import Case

plants = Plants()
_LOSS = nn.CrossEntropyLoss()


def _trains(base: Trained, model: nn.Module) -> Case:
    return Case(model, base.loader(), _LOSS, base.optimizer(model, decay=0.0))


@plants.add(
    "BN101", "bias before BN", {"that is 0": 0.0, "that is not": 0.3}, on=WITH_UNITS, suits=before_activation
)
def bias(base: Trained, size: float) -> Case:
    """Give the layers before BN a bias, which the running mean takes up."""
    torch.manual_seed(0)
    model = base.model()
    for layer, norm in weighted_before_norms(model).values():
        layer.bias = nn.Parameter(size * torch.randn(norm.num_features))  # type: ignore[call-overload]
        norm.running_mean += layer.bias.detach()  # type: ignore[operator]
    return Case(model, base.test(), _LOSS)


def _no_bias(recipe: Recipe) -> bool:
    return not recipe.bias


@plants.add(
    "BN102",
    "BN of the scores",
    {"as loss takes them": nn.Identity(), "before log-softmax": nn.LogSoftmax(1)},
    models=5,
    suits=_no_bias,
)
def norm_on_output(base: Trained, behind: nn.Module) -> Case:
    """Put BN behind the model, and train on."""
    torch.manual_seed(0)
    model = nn.Sequential(base.model(), nn.BatchNorm1d(10), behind)
    base.learn(model, 80)
    return _trains(base, model)


@plants.add(
    "BN103", "BN after BN", {"once": 1, "everywhere": None}, on=FEED_FORWARD, models=5, suits=_no_bias
)
def norm_after_norm(base: Trained, count: int | None) -> Case:
    """Put BN behind BN layers."""
    model = base.model()
    for path, norm in list(norms(model).items())[:count]:
        kind = nn.BatchNorm2d if "2d" in type(norm).__name__ else nn.BatchNorm1d
        model.set_submodule(path, nn.Sequential(norm, kind(norm.num_features)))
    base.learn(model, 80)
    return _trains(base, model)


@plants.add(
    "BN104",
    "dropout before BN",
    {"of 0.3": 0.3, "of 0.5": 0.5},
    on=WITH_UNITS,
    models=5,
    suits=lambda recipe: before_activation(recipe) and not recipe.dropout,
)
def dropout_before_norm(base: Trained, p: float) -> Case:
    """Put dropout before each weighted layer but the first, and train on."""
    torch.manual_seed(0)
    model = base.model()
    for path, (layer, _) in list(weighted_before_norms(model).items())[1:]:
        model.set_submodule(f"{path}.weighted", nn.Sequential(nn.Dropout(p), layer))
    base.learn(model, 120)
    return _trains(base, model)


@plants.add("BN105", "one layer in two places", on=WITH_UNITS, models=8, suits=before_activation)
def shared_norm(base: Trained) -> Case:
    """Use the last unit's BN layer in the unit before it as well."""
    torch.manual_seed(0)
    model = base.model()
    before, last = list(weighted_before_norms(model))[-2:]
    model.set_submodule(f"{before}.norm", model.get_submodule(f"{last}.norm"))
    base.learn(model, 80)
    return _trains(base, model)


class _WithBranch(nn.Module):
    def __init__(self, model: nn.Module, branch: nn.Module) -> None:
        super().__init__()
        self.model, self.branch = model, branch

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


@plants.add("BN106", "layer that is never called", on=ALL, models=8)
def unreached(base: Trained) -> Case:
    """Add a branch that forward forgets."""
    model = _WithBranch(base.model(), nn.Sequential(nn.Linear(10, 16), nn.BatchNorm1d(16), nn.ReLU()))
    return _trains(base, model)


@plants.add("BN107", "time taken for channels", on=SEQUENCES, models=7)
def time_for_channels(base: Trained) -> Case:
    """Train a network whose values were not transposed."""
    torch.manual_seed(0)
    make = networks.norm_maker(base.recipe.library, 0.1)
    rows = base.x.shape[-1]
    kinds: dict[str, Any] = {
        "lstm": lambda: networks.Recurrent(rows, make, "axis", base.recipe.width),
        "steps": lambda: networks.PerStep(rows, make, base.recipe.width, axis=True),
    }
    model = kinds[base.recipe.kind]()
    base.learn(model, 300)
    return _trains(base, model)
