"""Recording of ``watch``: statistics of each BN layer during a training, at regular steps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from normwise.records.environment import Environment

_PERCENTILES = 3


@dataclass(frozen=True, slots=True)
class OverChannels:
    """A quantity that each channel of a layer has.

    Attributes:
        least, median, greatest: Of the channels' values. Of an even number of channels the median is the lower of
            the two in the middle.
        rms: The root of the mean of their squares.
    """

    least: float
    median: float
    greatest: float
    rms: float

    @property
    def largest(self) -> float:
        """The largest absolute value; NaN where one is."""
        return max(-self.least, self.greatest)


@dataclass(frozen=True, slots=True)
class UnitPoint:
    """The distribution of one channel's values in one batch, by three percentiles: the 15th, the 50th, the 85th.

    Attributes:
        channel: Which.
        input: Percentiles of what the layer got.
        output: Of what it made of that, by its statistics, γ and β: the input of the unit behind it, before a residual
            and an activation (Ioffe & Szegedy 2015, figure 1).
    """

    channel: int
    input: tuple[float, ...]
    output: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.input) == len(self.output) == _PERCENTILES:
            raise ValueError(
                f"expected {_PERCENTILES} percentiles each, got {len(self.input)} and {len(self.output)}"
            )


@dataclass(frozen=True, slots=True)
class LayerPoint:
    r"""One layer at one step. Over the first call of it in that step; numbers have six digits.

    Attributes:
        calls: How often the step called the layer.
        by_batch: Whether it normalised by the batch; else, in evaluation or frozen, by its running statistics.
        samples, values: Samples in the batch, and values a channel; real ones alone where there was a mask.
        batch_mean, batch_var: :math:`\mu` and, with Bessel's correction as running variances have it,
            :math:`\sigma^2`.
        noise_mean, noise_var: How far :math:`\mu` and :math:`\sigma^2` scatter from batch to batch: their standard
            errors, in units of :math:`\sigma` and of :math:`\sigma^2` (each with :math:`\epsilon`), as told by the
            scatter between the samples of this batch, taken as independent. Behind other BN layers, which take out
            what a batch has in common, they scatter less. NaN for a single sample.
        running_mean, running_var: As they were before this batch moved them; None where the layer has none.
        shift: From the running to the batch's mean, in running σ:
            :math:`(\mu - \mu_r) / \sqrt{\sigma_r^2 + \epsilon}`.
        log_ratio: :math:`\ln (\sigma^2 + \epsilon) / (\sigma_r^2 + \epsilon)`.
        weight, bias: γ and β; None where the layer has none.
        weight_grad, bias_grad, output_grad: Euclidean norms of the gradients of γ, of β and of the layer's output in
            the step's backward pass; NaN where there was none.
        units: Chosen channels.
    """

    calls: int
    by_batch: bool
    samples: int
    values: int
    batch_mean: OverChannels
    batch_var: OverChannels
    noise_mean: OverChannels
    noise_var: OverChannels
    running_mean: OverChannels | None = None
    running_var: OverChannels | None = None
    shift: OverChannels | None = None
    log_ratio: OverChannels | None = None
    weight: OverChannels | None = None
    bias: OverChannels | None = None
    weight_grad: float = math.nan
    bias_grad: float = math.nan
    output_grad: float = math.nan
    units: tuple[UnitPoint, ...] = ()

    @property
    def untaught(self) -> bool:
        """Return whether the running statistics are still those of a new layer, 0 and 1."""
        mean, var = self.running_mean, self.running_var
        return (
            mean is not None
            and var is not None
            and (mean.least, mean.greatest, var.least, var.greatest) == (0.0, 0.0, 1.0, 1.0)
        )


@dataclass(frozen=True, slots=True)
class WatchedStep:
    """One recorded step: a line of ``metrics.jsonl``.

    Attributes:
        step: Training passes before it.
        layers: By path, in the order in which they were called; those that the step did not reach are missing.
    """

    step: int
    layers: Mapping[str, LayerPoint]


@dataclass(frozen=True)
class WatchedLayer:
    """A layer that is watched.

    Attributes:
        path: Where it is in the model.
        kind: Its class.
        channels: How many; 0 where the layer had not been told yet.
    """

    path: str
    kind: str
    channels: int


@dataclass(frozen=True)
class Recording:
    """Recording of ``watch``; without its points it is ``recording.json``.

    Attributes:
        begun: When, as ISO 8601 in UTC.
        every: Interval of the records, in steps.
        layers: In the order of the model.
        environment: On what.
        points: The records.
    """

    begun: str
    every: int
    layers: tuple[WatchedLayer, ...]
    environment: Environment
    points: tuple[WatchedStep, ...] = ()

    def __str__(self) -> str:
        """Return one line per layer for the last record."""
        head = f"layers: {len(self.layers)}, records: {len(self.points)}, interval: {self.every} steps"
        if not self.points:
            return head
        last = self.points[-1]
        lines = [f"{path or 'the model'}: {_said(point)}" for path, point in last.layers.items()]
        return "\n".join([f"{head}; in the last, at step {last.step}:", *lines])


def _said(point: LayerPoint) -> str:
    noise = f"noise of a batch {point.noise_mean.rms:.2g} σ"
    if point.shift is None or point.log_ratio is None:
        return f"no running statistics, {noise}"
    return (
        f"batch mean {point.shift.rms:.2g} σ from the running mean, variances differ by a factor of "
        f"{math.exp(point.log_ratio.rms):.3g}, {noise}"
    )
