"""Report of ``port``: weights moved between frameworks, layer by layer."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class PortedLayer:
    """One layer whose weights were moved.

    Attributes:
        source: Its path in the source.
        target: That of the layer that got the weights.
        kind: What both are, such as "batch_norm".
        detail: Settings that changed in the target; empty for none.
        output_error: Largest difference of the two layers' outputs on the example, relative to the largest; NaN where
            they could not be compared by themselves, or the example tells nothing of them.
    """

    source: str
    target: str
    kind: str
    detail: str
    output_error: float = math.nan

    def __str__(self) -> str:
        """In one line."""
        said = "moved" if math.isnan(self.output_error) else f"outputs differ by {self.output_error:.1e}"
        between = f"{self.source or 'the model'} -> {self.target or 'the model'} ({self.kind})"
        return f"{between}: {said}{'; ' if self.detail else ''}{self.detail}"


@dataclass(frozen=True)
class Porting:
    """All layers that were moved, and how far the target's outputs are from the source's.

    Attributes:
        source, target: "torch", "keras" or "state dict".
        layers: In the order of the source.
        output_error: Largest difference of the models' outputs on the example, relative to the largest, before the
            variances were corrected; NaN where they could not be compared.
        tolerance: How large that, and that of each layer, may be; NaN where nothing was compared.
        notes: What else there is to know, a sentence each.
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
