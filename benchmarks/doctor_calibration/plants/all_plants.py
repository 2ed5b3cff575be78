"""Every plant."""

import torch

from benchmarks.doctor_calibration.outcome import Outcome, outcome_of
from benchmarks.doctor_calibration.plants import (
    batches,
    delivery,
    modes,
    numerics,
    optimizer,
    processes,
    statistics,
    wiring,
)
from benchmarks.doctor_calibration.plants.plant import Plant
from benchmarks.doctor_calibration.recipes import Recipe
from benchmarks.doctor_calibration.trained import trained

ALL_PLANTS: tuple[Plant, ...] = tuple(
    plant
    for family in (wiring, statistics, modes, numerics, batches, processes, optimizer, delivery)
    for plant in family.plants.found
)


def planted(number: int, recipe: Recipe) -> Outcome:
    """Plant a fault, by its number, into a recipe's model, and return what the doctor said of it."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    plant = ALL_PLANTS[number]
    return outcome_of(plant.make(trained(recipe)), recipe.name, plant.fault, plant.code)
