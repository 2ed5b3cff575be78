"""The one place where calibration writes into a model."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from normwise.layers import StatisticsSlot, kind_of_norm


def apply_statistics(
    slots: Mapping[str, StatisticsSlot],
    statistics: Mapping[str, tuple[Tensor, Tensor]],
    reached: Mapping[str, int],
) -> set[str]:
    """Write running means and variances into the slots, by path: all, or none if that fails.

    Args:
        slots: The slots.
        statistics: Mean and variance of each.
        reached: How many time steps the data reach, by path of a layer that has statistics for each. Steps that
            neither they nor training reach get those of the last that was.

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
