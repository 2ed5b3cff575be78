"""What calibration found, and how far from it the statistics were."""

import math
from dataclasses import dataclass
from typing import Literal

Order = Literal["evaluation", "training"]
VarianceKind = Literal["population", "batch"]


@dataclass(frozen=True)
class LayerCalibration:
    """What became of one BN layer.

    Attributes:
        path: Where it is in the model.
        kind: Its class.
        calibrated: Whether its statistics are those of the data now.
        reason: Why they are not; empty where they are.
        count: Values a channel that the statistics are of.
        mean_shift, typical_mean_shift: How far the old running means were from the data's, in standard deviations of
            the data: largest of all channels, and median.
        variance_ratio_low, variance_ratio_high: Old running variance over the data's: least and greatest of all
            channels.
    """

    path: str
    kind: str
    calibrated: bool
    reason: str = ""
    count: int = 0
    mean_shift: float = math.nan
    typical_mean_shift: float = math.nan
    variance_ratio_low: float = math.nan
    variance_ratio_high: float = math.nan

    def __str__(self) -> str:
        """In one line."""
        if not self.calibrated:
            return f"{self.path or 'the model'} ({self.kind}): left as it is, {self.reason}"
        return (
            f"{self.path or 'the model'} ({self.kind}): of {self.count} values a channel; old means off by up to "
            f"{self.mean_shift:.2g} σ (median {self.typical_mean_shift:.2g}), old variances "
            f"{self.variance_ratio_low:.3g} to {self.variance_ratio_high:.3g} times the data's"
        )


@dataclass(frozen=True)
class Calibration:
    """What became of all BN layers.

    Attributes:
        layers: In the order of the model.
        order, variance: As asked for.
        batches: How many there were in a pass.
        passes: How many passes over the data it took, most of them not to the model's end.
        residual: How far another pass might still move a statistic, in standard deviations: 0 but where layers are
            called several times, so that their statistics depend on themselves.
    """

    layers: tuple[LayerCalibration, ...]
    order: Order
    variance: VarianceKind
    batches: int
    passes: int
    residual: float = 0.0

    def __str__(self) -> str:
        """A line a layer."""
        batches = f"{self.batches} {'batch' if self.batches == 1 else 'batches'}"
        last = f"{self.passes} {'pass' if self.passes == 1 else 'passes'} over {batches}"
        if self.residual:
            last += f"; another would still move statistics by {self.residual:.1e} σ"
        return "\n".join([*map(str, self.layers), last])
