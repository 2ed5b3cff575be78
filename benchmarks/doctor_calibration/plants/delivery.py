"""Faults of models that are delivered: BN7xx."""

import torch
from torch import nn

from benchmarks.doctor_calibration.plants.plant import FEED_FORWARD, WITH_UNITS, Plants, before_activation
from benchmarks.doctor_calibration.recipes import Recipe
from benchmarks.doctor_calibration.trained import Trained
from normwise.doctor import Case

plants = Plants()
_LOSS = nn.CrossEntropyLoss()


def _of_torch(recipe: Recipe) -> bool:
    return recipe.library == "torch"


@plants.add("BN701", "traced in training mode", on=FEED_FORWARD, models=5, suits=_of_torch)
def traced(base: Trained) -> Case:
    """Trace the model as it trains."""
    model = base.model().train()
    with torch.no_grad():
        traced = torch.jit.trace(model, base.test_x[:8], check_trace=False)
    return Case(traced.eval(), base.test(), _LOSS)  # type: ignore[union-attr]


@plants.add("BN701", "exported in training mode", on=FEED_FORWARD, models=5, suits=_of_torch)
def exported(base: Trained) -> Case:
    """Export the model as it trains."""
    model = base.model().train()
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(model, (base.test_x[:8],), dynamic_shapes=({0: batch},))
    return Case(program.module(), base.test(), _LOSS)


@plants.add("BN702", "SyncBatchNorm in one process", models=8, suits=_of_torch)
def sync(base: Trained) -> Case:
    """Convert the layers for several processes."""
    model = nn.SyncBatchNorm.convert_sync_batchnorm(base.model())
    return Case(model, base.test(), _LOSS)


@plants.add("BN703", "BN that a layer before could take in", on=WITH_UNITS, models=8, suits=before_activation)
def foldable(base: Trained) -> Case:
    """Leave the model as it is."""
    return Case(base.model(), base.test(), _LOSS)
