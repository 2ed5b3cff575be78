"""One place of a model that surgery changed, or left as it is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """Outcome of an operation for one layer.

    Attributes:
        path: Where it is in the model.
        kind: The class of the layer that was there.
        changed: Whether it was changed.
        detail: What it became; why it was left where it was left.
    """

    path: str
    kind: str
    changed: bool
    detail: str

    def __str__(self) -> str:
        """In one line."""
        return f"{self.path or 'the model'} ({self.kind}): {'' if self.changed else 'left as it is, '}{self.detail}"
