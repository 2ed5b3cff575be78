"""Report of ``freeze`` and ``unfreeze`` on a model."""

from dataclasses import dataclass

from normwise.records.shown import Shown

_MOST_PATHS = 5


@dataclass(frozen=True)
class Freezing(Shown):
    """Report of ``freeze`` and ``unfreeze``.

    Attributes:
        layers: Paths of the layers that were frozen, or that learn again, in the order of the model.
        parameters: Whether γ and β were fixed as well; False for ``unfreeze``.
        frozen: Whether the layers are frozen now; False for ``unfreeze``.
        total: Number of BN layers of the model with statistics.
    """

    layers: tuple[str, ...]
    parameters: bool
    frozen: bool
    total: int

    def __str__(self) -> str:
        """Return a sentence on what is fixed, and the paths of the layers."""
        if not self.total:
            return "no batch normalization with running statistics found"
        if not self.layers:
            return "no layer was frozen"
        shown = ", ".join(path or "the model" for path in self.layers[:_MOST_PATHS])
        more = len(self.layers) - _MOST_PATHS
        shown += f" and {more} more" if more > 0 else ""
        counted = f"{len(self.layers)} of {self.total} BN layers"
        if not self.frozen:
            return f"{counted} learn again: {shown}"
        if self.parameters:
            return f"{counted} frozen, with γ and β: {shown}"
        return f"{counted} frozen; γ and β go on learning: {shown}"
