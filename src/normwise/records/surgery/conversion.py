"""Report of ``convert`` on a model, layer by layer."""

import math
from dataclasses import dataclass

from normwise.records.shown import Shown
from normwise.records.surgery.change import Change


@dataclass(frozen=True)
class Conversion(Shown):
    """Report of ``convert`` on all norm layers, and on the model's outputs in evaluation.

    Attributes:
        to: Name of the target norm.
        changes: Outcome for each layer in the order of the model, then for each call of batch normalization as a
            function.
        alters: Whether the outputs must change, by another normalization, another ε or other statistics.
        retrain: Whether the weights were not trained for the new normalization.
        output_error: Largest difference of the outputs on the example, in evaluation, relative to the largest; NaN
            without an example.
    """

    to: str
    changes: tuple[Change, ...]
    alters: bool
    retrain: bool
    output_error: float = math.nan

    def __str__(self) -> str:
        """Return one line per layer."""
        if not self.changes:
            return "no normalisation layers found"
        converted = sum(change.changed for change in self.changes)
        lines = [*map(str, self.changes), f"{converted} of {len(self.changes)} converted to {self.to!r}"]
        measured = not math.isnan(self.output_error)
        if not self.alters:
            how = (
                f"measured: {self.output_error:.1e} of the largest"
                if measured
                else "not measured without an example"
            )
            lines.append(f"outputs in evaluation stay what they were ({how})")
        else:
            how = (
                f"by {self.output_error:.1%} of the largest on the example"
                if measured
                else "how far was not measured"
            )
            lines.append(f"outputs in evaluation change ({how})")
        if self.retrain:
            lines.append(
                "the weights were trained with another normalisation: retrain the model before it is used"
            )
        return "\n".join(lines)
