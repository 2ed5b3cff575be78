"""Report of ``remove_biases`` on a model, layer by layer."""

import math
from dataclasses import dataclass

from normwise.records.shown import Shown
from normwise.records.surgery.change import Change
from normwise.records.surgery.comparison import gradient_note, not_compared


@dataclass(frozen=True)
class BiasRemoval(Shown):
    """Report on the bias before each BN layer, with the distance of the new model's numbers from the old one's.

    Attributes:
        changes: Outcome for each BN layer, in the order of the model.
        removed: Number of removed parameters, counted as scalars.
        output_error, gradient_error: Largest difference on the example, in training and in evaluation, relative to the
            largest value of the old model's. NaN if nothing was removed.
        gradient_sensitivity: If gradients differ by more than rounding, the movement of the old model's own
            gradients when its parameters and the example change in their last digits. Otherwise NaN.
        left_out: Comparisons that were not possible, since the old model itself fails; empty if all were.
    """

    changes: tuple[Change, ...]
    removed: int
    output_error: float = math.nan
    gradient_error: float = math.nan
    gradient_sensitivity: float = math.nan
    left_out: str = ""

    def __str__(self) -> str:
        """Return one line per layer."""
        if not self.changes:
            return "no batch normalization found"
        lines = [str(change) for change in self.changes]
        if not self.removed:
            return "\n".join([*lines, "no redundant bias found"])
        biases = sum(change.changed for change in self.changes)
        lines.append(
            f"{biases} {'bias' if biases == 1 else 'biases'} removed, {self.removed} parameters; largest relative "
            f"difference: outputs {self.output_error:.1e}, gradients {self.gradient_error:.1e}"
        )
        lines[-1] += gradient_note(self.gradient_sensitivity)
        return "\n".join([*lines, *not_compared(self.left_out)])
