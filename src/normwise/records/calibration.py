"""Report of a calibration: new statistics, and the errors of the old ones."""

import math
import textwrap
from dataclasses import dataclass
from typing import Literal

from normwise.records.shown import Shown

Order = Literal["evaluation", "training"]
VarianceKind = Literal["population", "batch"]
StatisticsQuality = Literal["fine", "poor", "bad"]

#: Error of a layer's normalised values, in standard deviations, up to which its old statistics count as fine.
#: Averages with torch's momentum of 0.1 over batches of 32 independent values scatter by about half as much.
FINE = 0.1
#: Error from which they count as bad: the input of the next layer was wrong by half of its standard
#: deviation.
BAD = 0.5
_WIDTH = 100
_MOST_LAYERS = 10


@dataclass(frozen=True)
class LayerCalibration:
    """Outcome of a calibration for one BN layer.

    Attributes:
        path: Path of the layer in the model.
        kind: Class of the layer.
        calibrated: Whether its statistics are now those of the data.
        reason: Reason why they are not; empty if they are.
        count: Number of values per channel in the statistics.
        mean_shift, typical_mean_shift: Distance of the old running means from the data's, in standard deviations of
            the data: largest of all channels, and median.
        variance_ratio_low, variance_ratio_high: Old running variance divided by the data's: least and greatest of
            all channels.
        error: Error of the values normalised with the old statistics, in standard deviations: the root mean square
            over the data and all channels. NaN in records of older versions.
        broken: Reason why old statistics of some channels were unusable, such as ``"NaN in 3 of 64 channels"``; the
            numbers above are then those of the other channels.
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
    error: float = math.nan
    broken: str = ""

    @property
    def verdict(self) -> StatisticsQuality | None:
        """Return the judgement of the old statistics: fine (error up to 0.1 σ), poor, or bad (from 0.5 σ, or broken).

        It is None for a layer that was not calibrated, and if the record lacks the error.
        """
        if not self.calibrated:
            return None
        if self.broken:
            return "bad"
        if math.isnan(self.error):
            return None
        return "fine" if self.error <= FINE else "poor" if self.error < BAD else "bad"

    def __str__(self) -> str:
        """Return the outcome in one line."""
        named = f"{_shown(self.path) or 'the model'} ({self.kind})"
        if not self.calibrated:
            return f"{named}: left as it is, {self.reason}"
        parts = [] if self.verdict is None else [self.verdict]
        if self.broken:
            parts.append(f"old statistics were {self.broken}; replaced")
        if not math.isnan(self.error):
            parts.append(f"off by {self.error:.2g} σ")
        text = ", ".join(parts) or "replaced"
        if math.isnan(self.mean_shift):
            return f"{named}: {text}"
        low, high = self.variance_ratio_low, self.variance_ratio_high
        return (
            f"{named}: {text} (means up to {self.mean_shift:.2g} σ, variances {low:.3g} to {high:.3g} times)"
        )


@dataclass(frozen=True)
class Calibration(Shown):
    """Report of a calibration on all BN layers.

    Attributes:
        layers: Outcome for each layer, in the order of the model.
        order, variance: Requested order and kind of variance.
        batches: Number of batches in a pass.
        passes: Number of passes over the data, most of them only through a part of the model.
        residual: Largest change of a statistic that another pass might make, in standard deviations: 0 unless
            layers are called several times, so that their statistics depend on themselves.
        dropped: Keys of the batches that were left out since the model's forward has no such argument.
        varied: Whether the batches differed between passes.
    """

    layers: tuple[LayerCalibration, ...]
    order: Order
    variance: VarianceKind
    batches: int
    passes: int
    residual: float = 0.0
    dropped: tuple[str, ...] = ()
    varied: bool = False

    @property
    def headline(self) -> str:
        """Return the judgement of the old statistics, in a sentence."""
        return _headline(self._calibrated, len(self.layers))

    @property
    def _calibrated(self) -> list[LayerCalibration]:
        """Calibrated layers, the worst first."""
        return sorted((layer for layer in self.layers if layer.calibrated), key=_badness, reverse=True)

    def __str__(self) -> str:
        """Return the judgement, and one line per layer, the worst first; of many layers the worst ten."""
        calibrated = self._calibrated
        # Many layers are often left for the same reason: those of a frozen backbone, or late time steps.
        left = [layer for layer in self.layers if not layer.calibrated]
        lines = [self.headline]
        lines += [f"  {layer}" for layer in calibrated[:_MOST_LAYERS]]
        if len(calibrated) > _MOST_LAYERS:
            best = calibrated[_MOST_LAYERS]
            error = "" if math.isnan(best.error) else f", none off by more than {best.error:.2g} σ"
            lines.append(f"  and {_number(len(calibrated) - _MOST_LAYERS, 'other layer')}{error}")
        lines += [f"  {layer}" for layer in left[:_MOST_LAYERS]]
        if len(left) > _MOST_LAYERS:
            lines.append(f"  and {_number(len(left) - _MOST_LAYERS, 'other layer')} left as they are")
        lines += self.notes
        return "\n".join(line for text in lines for line in _wrapped(text))

    @property
    def notes(self) -> tuple[str, ...]:
        """Return explanations of the numbers, and what else there is to know, a sentence each."""
        notes = []
        if any(layer.verdict for layer in self.layers):
            notes.append(
                f"off by: error of the normalised values, in standard deviations σ. Up to {FINE:g} σ is fine, about "
                f"the noise of running averages; {BAD:g} σ or more is bad"
            )
        if self.dropped:
            notes.append(f"forward has no argument for these keys, left out: {', '.join(self.dropped)}")
        if self.varied:
            notes.append(
                "the data gave other batches in each pass, so layers have the statistics of different batches: give "
                "the data a fixed order, or take order='training', which reads them once"
            )
        passes = f"{_number(self.passes, 'pass', 'passes')} over {_number(self.batches, 'batch', 'batches')}"
        if self.residual:
            passes += f"; another would still move statistics by {self.residual:.1e} σ"
        return (*notes, passes)


def _headline(calibrated: list[LayerCalibration], number: int) -> str:
    layers = _number(number, "layer")
    if not calibrated:
        return f"nothing was calibrated: {layers} left as they are"
    verdicts = [layer.verdict for layer in calibrated]
    replaced = f"; replaced in {len(calibrated)}"
    for verdict, text in (("bad", "far from the data's"), ("poor", "somewhat off")):
        if found := verdicts.count(verdict):
            worst = _shown(calibrated[0].path) or "the model"
            return f"running statistics were {text} in {found} of {layers} (worst: {worst}){replaced}"
    fine = verdicts.count("fine")
    return (
        f"running statistics were fine in {fine} of {layers}{replaced}" if fine else f"replaced in {layers}"
    )


def _badness(layer: LayerCalibration) -> tuple[bool, float]:
    return bool(layer.broken), -math.inf if math.isnan(layer.error) else layer.error


def _number(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _shown(path: str) -> str:
    """Return the path, with control characters escaped."""
    return path if path.isprintable() else repr(path)


def _wrapped(text: str) -> list[str]:
    indent = "    " if text.startswith("  ") else "  "
    return textwrap.wrap(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [text]
