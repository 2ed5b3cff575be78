"""Decisions on layers: a layer was changed, or left unchanged for a reason."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from normwise.records import Change


class LeftError(Exception):
    """An obstacle: the reason why a layer is left unchanged.

    Every function of surgery that finds an obstacle raises it, at any depth. The loop over the layers catches it,
    and turns it into a :class:`Decision`.
    """


@dataclass(frozen=True)
class Decision:
    """Decision on one layer.

    Attributes:
        path: Path of the layer in the model.
        kind: Class of the layer before.
        changed: Whether the layer was changed.
        reason: Description of the change, or the reason why the layer was left unchanged.
    """

    path: str
    kind: str
    changed: bool
    reason: str

    def record(self) -> Change:
        """Return the decision in the form of reports."""
        return Change(self.path, self.kind, self.changed, self.reason)


def decide(path: str, layer: nn.Module, change: Callable[[], str]) -> Decision:
    """Change a layer, or leave it unchanged if ``change`` meets an obstacle.

    Args:
        path: Path of the layer in the model.
        layer: Layer to change.
        change: Function that changes the layer and returns a description, or raises :class:`LeftError`.
    """
    kind = type(layer).__name__
    try:
        return Decision(path, kind, True, change())
    except LeftError as left:
        return Decision(path, kind, False, str(left))


def reason_of(error: Exception) -> str:
    """Return the first line of an exception's message, or its class if the message is empty."""
    return (str(error) or type(error).__name__).splitlines()[0]
