"""Report of ``insert`` on a model, layer by layer."""

import math
from dataclasses import dataclass

from normwise.records.shown import Shown
from normwise.records.surgery.change import Change


@dataclass(frozen=True)
class Insertion(Shown):
    """Report of ``insert`` on all convolutions and linear layers, with the distance of the outputs from the old ones.

    Attributes:
        changes: Outcome for each convolution and linear layer, in the order of the model.
        added, removed: Number of added parameters, γ and β, and of removed ones, biases, counted as scalars.
        values: Least number of values per channel that a new layer was initialised from; 0 without data, when the
            outputs change.
        output_error: Largest difference of the outputs on the example, in evaluation, relative to the largest.
        training_error: The same if the new layers normalise with the example's own statistics, as in training; NaN
            if it has too few values for that.
    """

    changes: tuple[Change, ...]
    added: int
    removed: int
    values: int
    output_error: float
    training_error: float = math.nan

    def __str__(self) -> str:
        """Return one line per layer."""
        inserted = sum(change.changed for change in self.changes)
        counted = f"{inserted} of {len(self.changes)} places normalised: {self.added} parameters more"
        counted += f", and {self.removed} of biases fewer" if self.removed else ""
        differ = f"outputs on the example differ by {self.output_error:.1e} of the largest in evaluation"
        if not math.isnan(self.training_error):
            differ += f", and by {self.training_error:.1e} with the example's own statistics, as in training"
        if self.values:
            kept = (
                f"initialised from {self.values} or more values a channel: evaluation stays, but for rounding"
            )
        else:
            kept = "train the model before it is used, or pass data= to keep what it computes"
        return "\n".join([*map(str, self.changes), counted, differ, kept])
