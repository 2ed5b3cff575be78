"""Recording of ``watch``: statistics of each BN layer during a training, at regular steps."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from normwise.records.environment import Environment
from normwise.records.shown import Shown

#: Percentiles of :class:`UnitPoint`, as in figure 1 of Ioffe & Szegedy 2015.
PERCENTILES = (15.0, 50.0, 85.0)


@dataclass(frozen=True, slots=True)
class OverChannels:
    """Summary of a quantity over the channels of a layer.

    Attributes:
        least, median, greatest: Least, median and greatest value of the channels. For an even number of channels
            the median is the lower of the two in the middle.
        rms: Root mean square of the values.
    """

    least: float
    median: float
    greatest: float
    rms: float

    @property
    def largest(self) -> float:
        """Return the largest absolute value; NaN if one is NaN."""
        return max(-self.least, self.greatest)


@dataclass(frozen=True, slots=True)
class UnitPoint:
    """Distribution of one channel's values in one batch, by the 15th, 50th and 85th percentile.

    Attributes:
        channel: Index of the channel.
        input: Percentiles of the layer's input.
        output: Percentiles of the normalised values after γ and β, before a residual and an activation: the input
            of the following unit (Ioffe & Szegedy 2015, figure 1).
    """

    channel: int
    input: tuple[float, ...]
    output: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.input) == len(self.output) == len(PERCENTILES):
            raise ValueError(
                f"expected {len(PERCENTILES)} percentiles each, got {len(self.input)} and {len(self.output)}"
            )


@dataclass(frozen=True, slots=True)
class LayerPoint:
    r"""One layer at one step, by its first call in that step; numbers have six digits.

    Attributes:
        calls: Number of calls of the layer in the step.
        by_batch: Whether the layer normalised by the batch; otherwise, in evaluation mode or frozen, by its running
            statistics.
        samples, values: Number of samples in the batch, and of values per channel; with a mask, only real ones.
        batch_mean, batch_var: Mean :math:`\mu` and variance :math:`\sigma^2` of the batch, of the kind that the
            running variance averages: with Bessel's correction in torch, without in Keras unless the layer asks for it.
        noise_mean, noise_var: Scatter of :math:`\mu` and :math:`\sigma^2` from batch to batch: their standard
            errors, in units of :math:`\sigma` and of :math:`\sigma^2` (each with :math:`\epsilon`), estimated from
            the scatter between the samples of this batch, assumed independent. After other BN layers, which remove
            what a batch has in common, they scatter less. NaN for a single sample.
        running_mean, running_var: Running statistics before their update by this batch; None if the layer has none.
        shift: Distance from the running to the batch's mean, in running σ:
            :math:`(\mu - \mu_r) / \sqrt{\sigma_r^2 + \epsilon}`.
        log_ratio: Logarithm of the ratio of variances, :math:`\ln (\sigma^2 + \epsilon) / (\sigma_r^2 + \epsilon)`.
        weight, bias: γ and β; None if the layer has none.
        weight_grad, bias_grad, output_grad: Euclidean norms of the gradients of γ, of β and of the layer's output in
            the step's backward pass; NaN if there was none, and in Keras.
        units: Distributions of the chosen channels.
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

    def scalars(self) -> Iterator[tuple[str, float]]:
        """Yield name and value of each number that makes a curve, without unknown ones.

        A quantity per channel gives its root mean square, such as ``shift_rms``, and the two distances also their
        largest absolute value, such as ``shift_largest``; a unit gives its percentiles, such as ``unit3_input_p15``.
        """
        for name in LayerPoint.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, OverChannels):
                yield from _known(f"{name}_rms", value.rms)
                if name in ("shift", "log_ratio"):
                    yield from _known(f"{name}_largest", value.largest)
            elif isinstance(value, float):
                yield from _known(name, value)
        for unit in self.units:
            for side, values in (("input", unit.input), ("output", unit.output)):
                for percentile, value in zip(PERCENTILES, values, strict=True):
                    yield from _known(f"unit{unit.channel}_{side}_p{percentile:.0f}", value)


@dataclass(frozen=True, slots=True)
class WatchedStep:
    """One recorded step: a line of ``metrics.jsonl``.

    Attributes:
        step: Number of training passes before the step.
        layers: Layers by path, in the order of their calls, without those that the step did not reach.
    """

    step: int
    layers: Mapping[str, LayerPoint]


@dataclass(frozen=True)
class WatchedLayer:
    """A watched layer.

    Attributes:
        path: Path of the layer in the model.
        kind: Class of the layer.
        channels: Number of channels; 0 if it was not known yet.
    """

    path: str
    kind: str
    channels: int


@dataclass(frozen=True)
class Recording(Shown):
    """Recording of ``watch``; without its points it is ``recording.json``.

    Attributes:
        begun: Time of its beginning, as ISO 8601 in UTC.
        every: Interval of the records, in steps.
        layers: Watched layers, in the order of the model.
        environment: Machine and versions.
        points: Recorded steps.
        framework: Framework of the model; in Keras running statistics are called moving statistics.
    """

    begun: str
    every: int
    layers: tuple[WatchedLayer, ...]
    environment: Environment
    points: tuple[WatchedStep, ...] = ()
    framework: Literal["torch", "keras"] = "torch"

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one row for each layer of each record, for ``pandas.DataFrame(recording.to_rows())``.

        Columns are ``step``, ``layer``, ``by_batch``, ``calls``, ``samples`` and ``values``, and the numbers that
        :meth:`LayerPoint.scalars` names, such as ``shift_rms``. A row lacks the numbers that are unknown of it.
        """
        return [
            {
                "step": point.step,
                "layer": path,
                "by_batch": layer.by_batch,
                "calls": layer.calls,
                "samples": layer.samples,
                "values": layer.values,
                **dict(layer.scalars()),
            }
            for point in self.points
            for path, layer in point.layers.items()
        ]

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


def _known(name: str, value: float) -> Iterator[tuple[str, float]]:
    if not math.isnan(value):
        yield name, value
