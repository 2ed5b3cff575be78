"""One decision on a layer: it was changed, or it was left as it is, and why."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from normwise.records import Change


class LeftError(Exception):
    """An obstacle: the reason why a layer is left as it is.

    Every function of surgery that finds an obstacle raises it, however deep in the calls. The loop over the layers
    catches it, and makes a :class:`Decision` of it.
    """


@dataclass(frozen=True)
class Decision:
    """A decision on one layer.

    Attributes:
        path: Path of the layer in the model.
        kind: Class of the layer before.
        changed: Whether the layer was changed.
        reason: Description of what it became, or the reason why it was left.
    """

    path: str
    kind: str
    changed: bool
    reason: str

    def record(self) -> Change:
        """Return the decision as reports hold it."""
        return Change(self.path, self.kind, self.changed, self.reason)


def decide(path: str, layer: nn.Module, change: Callable[[], str]) -> Decision:
    """Change a layer, or leave it where ``change`` meets an obstacle.

    Args:
        path: Path of the layer in the model.
        layer: The layer.
        change: Changes the layer and returns what it became, or raises :class:`LeftError`.
    """
    kind = type(layer).__name__
    try:
        return Decision(path, kind, True, change())
    except LeftError as left:
        return Decision(path, kind, False, str(left))


def reason_of(error: Exception) -> str:
    """Return the first line of what an exception says, or its class where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0]
