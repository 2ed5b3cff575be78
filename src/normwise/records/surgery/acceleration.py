"""Report of ``accelerate`` on a model, layer by layer."""

import math
from dataclasses import dataclass

from normwise.records.surgery.comparison import gradient_note, not_compared


@dataclass(frozen=True)
class LayerChange:
    """Outcome of ``accelerate`` for one BN layer.

    Attributes:
        path: Where it is in the model.
        kind: Its class before.
        replaced: Whether it is one of our layers now (or was before).
        activation: The activation that it took over; None for none.
        residual: Whether it took over an addition.
        reason: Why it was not replaced, or took over nothing; empty where there is nothing to say.
    """

    path: str
    kind: str
    replaced: bool
    activation: str | None
    residual: bool
    reason: str


@dataclass(frozen=True)
class Acceleration:
    """Report of ``accelerate`` on all BN layers, with the distance of the new model's numbers from the old one's.

    Attributes:
        layers: In the order of the model.
        output_error, gradient_error: Largest difference on the example, in training and in evaluation, relative
            to the largest value of the old model's. NaN where the example was not used for that, such as the
            gradients of a model without parameters.
        gradient_sensitivity: Where gradients differ by more than rounding: how far the old model's own move
            when its parameters and the example do in their last digits. Then some unit is so near to the kink of
            its activation that the last digit decides whether a gradient passes. Else NaN.
        left_out: What could not be compared, since the old model itself fails in it; empty if all was.
    """

    layers: tuple[LayerChange, ...]
    output_error: float
    gradient_error: float
    gradient_sensitivity: float = math.nan
    left_out: str = ""

    def __str__(self) -> str:
        """Return one line per layer."""
        lines = [f"{change.path}: {_said(change)}" for change in self.layers]
        error = f"largest relative difference: outputs {self.output_error:.1e}, gradients {self.gradient_error:.1e}"
        error += gradient_note(self.gradient_sensitivity)
        return "\n".join([*lines, error, *not_compared(self.left_out)])


def _said(change: LayerChange) -> str:
    took = [f"the activation {change.activation!r}"] if change.activation else []
    took = [*took, "the addition before it"] if change.residual and took else took
    took = ["an addition"] if change.residual and not took else took
    said = ["replaced" if change.replaced else "left as it is"]
    said += ["took over " + " and ".join(took)] if took else []
    return ", ".join(said) + (f" ({change.reason})" if change.reason else "")
