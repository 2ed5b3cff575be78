"""Report of ``accelerate`` on a model, layer by layer."""

import math
from dataclasses import dataclass

from normwise.records.shown import Shown
from normwise.records.surgery.comparison import gradient_note, not_compared


@dataclass(frozen=True)
class LayerChange:
    """Outcome of ``accelerate`` for one BN layer.

    Attributes:
        path: Path of the layer in the model.
        kind: Class of the layer before.
        replaced: Whether the layer is now one of ours (or was before).
        activation: Activation that it took over; None for none.
        residual: Whether the layer took over an addition.
        reason: Reason why it was not replaced, or took over nothing; empty if there is none.
        is_old: Whether the layer was one of ours before.
    """

    path: str
    kind: str
    replaced: bool
    activation: str | None
    residual: bool
    reason: str
    is_old: bool = False

    @property
    def outcome(self) -> str:
        """Return the outcome in words."""
        took = [f"the activation {self.activation!r}"] if self.activation else []
        took = [*took, "the addition before it"] if self.residual and took else took
        took = ["an addition"] if self.residual and not took else took
        said = ["normwise's already" if self.is_old else "replaced" if self.replaced else "left as it is"]
        said += ["took over " + " and ".join(took)] if took else []
        return ", ".join(said) + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True)
class Acceleration(Shown):
    """Report of ``accelerate`` on all BN layers, with the distance of the new model's numbers from the old one's.

    Attributes:
        layers: Outcome for each layer, in the order of the model.
        output_error, gradient_error: Largest difference on the example, in training and in evaluation, relative
            to the largest value of the old model's. NaN if it was not measured, such as the gradients of a model
            without parameters.
        gradient_sensitivity: If gradients differ by more than rounding, the movement of the old model's own
            gradients when its parameters and the example change in their last digits: some unit is so close to the
            kink of its activation that the last digit decides whether a gradient passes. Otherwise NaN.
        left_out: Comparisons that were not possible, since the old model itself fails; empty if all were.
        speedup: Ratio of the old model's time to the new model's for a forward and a backward pass on the example, in
            training: median of rounds that alternate. NaN if nothing has changed, or if it was not timed.
        speedup_low, speedup_high: 10th and 90th percentile of the rounds.
    """

    layers: tuple[LayerChange, ...]
    output_error: float
    gradient_error: float
    gradient_sensitivity: float = math.nan
    left_out: str = ""
    speedup: float = math.nan
    speedup_low: float = math.nan
    speedup_high: float = math.nan

    @property
    def has_changed(self) -> bool:
        """True if the new model computes anything in another way than the old one."""
        return any(
            change.replaced and (not change.is_old or bool(change.activation) or change.residual)
            for change in self.layers
        )

    def __str__(self) -> str:
        """Return one line per layer, and the speed-up."""
        if not self.layers:
            return "no batch normalization found"
        lines = [f"{change.path}: {change.outcome}" for change in self.layers]
        error = f"largest relative difference: outputs {self.output_error:.1e}, gradients {self.gradient_error:.1e}"
        error += gradient_note(self.gradient_sensitivity)
        return "\n".join([*lines, error, *not_compared(self.left_out), *self._speed()])

    def _speed(self) -> list[str]:
        if not self.has_changed:
            return [
                "nothing has changed: no layer was replaced, and none took over anything more than before"
            ]
        if math.isnan(self.speedup):
            return []
        return [
            f"a training pass on the example is {self.speedup:.2f} times as fast as before "
            f"(10th to 90th percentile {self.speedup_low:.2f} to {self.speedup_high:.2f})"
        ]
