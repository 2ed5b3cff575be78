"""Report of ``port``: weights moved between frameworks, layer by layer."""

import math
from dataclasses import dataclass

from normwise.records.shown import Shown


@dataclass(frozen=True)
class PortedLayer:
    """One layer whose weights were moved.

    Attributes:
        source: Path of the layer in the source.
        target: Path of the layer that got the weights.
        kind: Kind of both layers, such as "batch_norm".
        detail: Settings that changed in the target; empty for none.
        output_error: Largest difference of the two layers' outputs on the example, relative to the largest; NaN if
            they could not be compared by themselves, or the example proves nothing about them.
    """

    source: str
    target: str
    kind: str
    detail: str
    output_error: float = math.nan

    def __str__(self) -> str:
        """Return the move in one line."""
        said = "moved" if math.isnan(self.output_error) else f"outputs differ by {self.output_error:.1e}"
        between = f"{self.source or 'the model'} -> {self.target or 'the model'} ({self.kind})"
        return f"{between}: {said}{'; ' if self.detail else ''}{self.detail}"


@dataclass(frozen=True)
class Porting(Shown):
    """Report on all moved layers, with the distance of the target's outputs from the source's.

    Attributes:
        source, target: Kind of the source and of the target: "torch", "keras" or "state dict".
        layers: Moved layers, in the order of the source.
        output_error: Largest difference of the models' outputs on the example, relative to the largest, before the
            variances were corrected; NaN if they could not be compared.
        tolerance: Largest allowed difference of the models and of each layer; NaN if nothing was compared.
        notes: Further notes, one sentence each.
    """

    source: str
    target: str
    layers: tuple[PortedLayer, ...]
    output_error: float
    tolerance: float
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return one line per layer."""
        lines = [str(layer) for layer in self.layers]
        compared = sum(not math.isnan(layer.output_error) for layer in self.layers)
        whole = f"{len(self.layers)} layers moved from {self.source} to {self.target}"
        if math.isnan(self.tolerance):
            whole += ", not proven: a state dict can't be evaluated"
        elif not compared and math.isnan(self.output_error):
            whole += ", not proven: nothing of the two could be compared"
        else:
            whole += f", {compared} compared one by one"
            if not math.isnan(self.output_error):
                whole += f"; outputs differ by {self.output_error:.1e} of the largest"
            whole += f", {self.tolerance:.1e} is allowed"
        return "\n".join([*lines, whole, *(f"note: {note}" for note in self.notes)])
