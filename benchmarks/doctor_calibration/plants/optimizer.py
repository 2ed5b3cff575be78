"""Faults of the optimiser: BN6xx."""

import torch
from torch import nn

from benchmarks.doctor_calibration.plants.plant import ALL, Plants, norms
from benchmarks.doctor_calibration.recipes import Recipe
from benchmarks.doctor_calibration.trained import Trained
from normwise.doctor import Case

plants = Plants()
_LOSS = nn.CrossEntropyLoss()


def _no_bias(recipe: Recipe) -> bool:
    return not recipe.bias


@plants.add(
    "BN601", "weight decay of", {"0.0005": 5e-4, "0.05": 0.05}, on=(*ALL, "bn-lstm"), models=6, suits=_no_bias
)
def decayed(base: Trained, decay: float) -> Case:
    """Decay all parameters."""
    model = base.model().train()
    return Case(model, base.loader(), _LOSS, torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=decay))


@plants.add("BN602", "optimiser with", {"matrices only": True, "the first layers only": False}, models=6)
def forgotten(base: Trained, matrices: bool) -> Case:
    """Forget parameters of BN."""
    model = base.model().train()
    *_, last = norms(model).values()
    left = list(last.parameters())
    chosen = [
        parameter
        for parameter in model.parameters()
        if (parameter.dim() > 1 if matrices else all(parameter is not one for one in left))
    ]
    return Case(model, base.loader(), _LOSS, torch.optim.SGD(chosen, 0.01))


@plants.add("BN603", "layers replaced after the optimiser was made:", {"all": None, "one": 1}, models=6)
def replaced(base: Trained, count: int | None) -> Case:
    """Replace BN layers by copies with parameters of their own."""
    model = base.model().train()
    optimizer = base.optimizer(model, decay=0.0)
    for path, norm in list(norms(model).items())[:count]:
        other = type(norm)(norm.num_features, momentum=norm.momentum)
        other.load_state_dict(norm.state_dict())
        model.set_submodule(path, other)
    return Case(model, base.loader(), _LOSS, optimizer)
