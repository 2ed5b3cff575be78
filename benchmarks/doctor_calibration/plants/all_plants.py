"""Every plant."""

from benchmarks.doctor_calibration.plants import (
    batches,
    delivery,
    modes,
    numerics,
    optimizer,
    statistics,
    wiring,
)
from benchmarks.doctor_calibration.plants.plant import Plant

ALL_PLANTS: tuple[Plant, ...] = tuple(
    plant
    for family in (wiring, statistics, modes, numerics, batches, optimizer, delivery)
    for plant in family.plants.found
)
