"""Outcome for one layer that surgery changed or left unchanged."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """Outcome of an operation for one layer.

    Attributes:
        path: Path of the layer in the model.
        kind: Class of the layer before.
        changed: Whether the layer was changed.
        detail: Description of the change, or reason why the layer was left unchanged.
    """

    path: str
    kind: str
    changed: bool
    detail: str

    def __str__(self) -> str:
        """Return the outcome in one line."""
        return f"{self.path or 'the model'} ({self.kind}): {'' if self.changed else 'left as it is, '}{self.detail}"
