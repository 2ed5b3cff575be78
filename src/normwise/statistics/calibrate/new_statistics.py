"""New statistics of a slot from its measured inputs, and their distance from others."""

import math

import torch
from torch import Tensor

from normwise.errors import ModelError
from normwise.layers import StatisticsSlot
from normwise.records import VarianceKind
from normwise.statistics.measure.batch_accumulator import BatchAccumulator

#: A running mean and a running variance.
Statistics = tuple[Tensor, Tensor]


def new_statistics(
    slot: StatisticsSlot, seen: BatchAccumulator, kind: VarianceKind, before: Statistics
) -> Statistics:
    """Return mean and variance of a slot's inputs, in the dtype of its old statistics.

    The old statistics are returned if the slot has too few inputs.

    Raises:
        ModelError: the dtype can't hold the values.
    """
    if seen.lacks(kind):
        return before
    mean, variance = seen.together.mean, seen.variance(kind)
    rounded = mean.to(before[0]), variance.to(before[1])
    for value, kept in zip((mean, variance), rounded, strict=True):
        if not torch.isfinite(kept).all():
            raise ModelError(
                f"{slot} keeps its statistics in {kept.dtype}, which can't hold {value.abs().max():g}; keep BN "
                "layers in float32 (layer.float()), also in a model of halves"
            )
    return rounded


def change(seen: BatchAccumulator, last: BatchAccumulator, kind: VarianceKind, eps: float) -> float:
    """Return the largest change of a statistic between two passes; changes of means are in standard deviations.

    It is 0 if there are too few inputs now, and infinite if there were too few in the last pass.
    """
    if seen.lacks(kind):
        return 0.0
    if last.lacks(kind):
        return math.inf
    mean, variance = seen.together.mean, seen.variance(kind)
    spread = variance + eps
    moved = (mean - last.together.mean.to(mean.device)).abs() / spread.sqrt()
    widened = (variance - last.variance(kind).to(mean.device)).abs() / spread
    return max(moved.max().item(), widened.max().item())
