"""Report of a calibration: new statistics, and the errors of the old ones."""

import math
import textwrap
from dataclasses import dataclass
from typing import Literal

Order = Literal["evaluation", "training"]
VarianceKind = Literal["population", "batch"]
StatisticsQuality = Literal["fine", "poor", "bad"]

#: The error of a layer's normalised values, in standard deviations, up to which its old statistics were fine. Averages
#: with torch's momentum of 0.1 over batches of 32 independent values scatter by about half as much.
FINE = 0.1
#: The error from which they were bad: the values that the next layer got were wrong by half of what they vary.
BAD = 0.5
_WIDTH = 100
_MOST_LAYERS = 10


@dataclass(frozen=True)
class LayerCalibration:
    """Outcome of a calibration for one BN layer.

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
        error: How far the values that the layer normalised with the old statistics were from what they should have
            been, in standard deviations: the root mean square over the data and all channels. NaN in records of older
            versions.
        broken: What made old statistics of some channels useless, such as ``"NaN in 3 of 64 channels"``; the numbers
            above are those of the other channels then.
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
        """Judgement of the old statistics: fine (an error up to 0.1 σ), poor, or bad (from 0.5 σ, or broken).

        None for a layer that was not calibrated, and where the record does not tell.
        """
        if not self.calibrated:
            return None
        if self.broken:
            return "bad"
        if math.isnan(self.error):
            return None
        return "fine" if self.error <= FINE else "poor" if self.error < BAD else "bad"

    def __str__(self) -> str:
        """In one line."""
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
class Calibration:
    """Report of a calibration on all BN layers.

    Attributes:
        layers: In the order of the model.
        order, variance: As asked for.
        batches: How many there were in a pass.
        passes: How many passes over the data it took, most of them not to the model's end.
        residual: How far another pass might still move a statistic, in standard deviations: 0 but where layers are
            called several times, so that their statistics depend on themselves.
        dropped: Keys of the batches that the model's forward has no argument for, and that were left out.
        varied: Whether the data gave other batches in one pass than in another.
    """

    layers: tuple[LayerCalibration, ...]
    order: Order
    variance: VarianceKind
    batches: int
    passes: int
    residual: float = 0.0
    dropped: tuple[str, ...] = ()
    varied: bool = False

    def __str__(self) -> str:
        """Return the judgement, and one line per layer, the worst first; of many layers the worst ten."""
        calibrated = sorted((layer for layer in self.layers if layer.calibrated), key=_badness, reverse=True)
        # Layers that are left for one reason are often many: those of a frozen backbone, late time steps.
        left = [layer for layer in self.layers if not layer.calibrated]
        lines = [_headline(calibrated, len(self.layers))]
        lines += [f"  {layer}" for layer in calibrated[:_MOST_LAYERS]]
        if len(calibrated) > _MOST_LAYERS:
            best = calibrated[_MOST_LAYERS]
            error = "" if math.isnan(best.error) else f", none off by more than {best.error:.2g} σ"
            lines.append(f"  and {_number(len(calibrated) - _MOST_LAYERS, 'other layer')}{error}")
        lines += [f"  {layer}" for layer in left[:_MOST_LAYERS]]
        if len(left) > _MOST_LAYERS:
            lines.append(f"  and {_number(len(left) - _MOST_LAYERS, 'other layer')} left as they are")
        lines += self._notes()
        return "\n".join(line for text in lines for line in _wrapped(text))

    def _notes(self) -> list[str]:
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
        return [*notes, passes]


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
