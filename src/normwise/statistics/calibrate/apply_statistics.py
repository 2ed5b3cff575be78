"""Writing of statistics into a model; only calibration's last step does it."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from normwise.layers import StatisticsSlot, kind_of_norm


def apply_statistics(
    slots: Mapping[str, StatisticsSlot],
    statistics: Mapping[str, tuple[Tensor, Tensor]],
    reached: Mapping[str, int],
) -> set[str]:
    """Write running means and variances into the slots: all of them, or none if that fails.

    Args:
        slots: Slots to write to.
        statistics: Mean and variance of each slot, by path.
        reached: Number of time steps that the data reach, by path of a layer with statistics for each step. Steps
            that neither data nor training reach get the statistics of the last reached step.

    Returns:
        Paths of layers that have such steps.
    """
    before = {path: slot.values() for path, slot in slots.items()}
    layers: dict[str, Any] = {slot.layer_path: slot.layer for slot in slots.values()}
    try:
        for path, slot in slots.items():
            slot.put(*statistics[path])
        return {
            path
            for path, layer in layers.items()
            if kind_of_norm(layer).traits.several_slots and layer.extend(reached[path])
        }
    except BaseException:
        for path, slot in slots.items():
            slot.put(*before[path])
        raise
