"""Report of ``fold`` on a model, layer by layer."""

import math
from dataclasses import dataclass

from normwise.records.shown import Shown
from normwise.records.surgery.change import Change


@dataclass(frozen=True)
class Folding(Shown):
    """Report of ``fold`` on all BN layers, with the distance of the outputs from the old ones, and the speed-up.

    Attributes:
        changes: Outcome for each BN layer in the order of the model, then for each call of batch normalization as a
            function.
        output_error: Largest difference of the outputs on the example, in evaluation, relative to the largest.
        tolerance: Largest allowed difference.
        speedup: Old model's time divided by the new model's for evaluating the example: median of rounds in turn.
            NaN if nothing was folded or timed.
        speedup_low, speedup_high: 10th and 90th percentile of the speed-up over the rounds.
    """

    changes: tuple[Change, ...]
    output_error: float
    tolerance: float
    speedup: float = math.nan
    speedup_low: float = math.nan
    speedup_high: float = math.nan

    def __str__(self) -> str:
        """Return one line per layer."""
        if not self.changes:
            return "no batch normalization found"
        lines = [str(change) for change in self.changes]
        folded = sum(change.changed for change in self.changes)
        lines.append(
            f"{folded} of {len(self.changes)} folded; largest relative difference of the outputs "
            f"{self.output_error:.1e}, {self.tolerance:.1e} is allowed"
        )
        if not math.isnan(self.speedup):
            lines.append(
                f"evaluates the example {self.speedup:.2f} times as fast as before "
                f"(10th to 90th percentile {self.speedup_low:.2f} to {self.speedup_high:.2f})"
            )
        return "\n".join(lines)
