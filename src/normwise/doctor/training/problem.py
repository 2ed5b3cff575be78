"""Problem that was found during training."""

from dataclasses import dataclass

#: Most layers that a text names.
_MOST_NAMED = 3


@dataclass(frozen=True)
class Problem:
    """Problem of a training, in one or several layers.

    Attributes:
        code: Code of the rule that explains it, such as ``"BN203"``.
        layers: Paths of the layers, in the order in which they are called.
        kind: Class of the first layer.
        message: Clause that says what is wrong; "it" is the layer.
        fix: Code or advice that fixes it.
    """

    code: str
    layers: tuple[str, ...]
    kind: str
    message: str
    fix: str

    def __str__(self) -> str:
        """Return the problem in one sentence, with the layers and the fix."""
        named = ", ".join(repr(path) for path in self.layers[1:_MOST_NAMED])
        more = len(self.layers) - _MOST_NAMED
        also = f" (so have {named}{f' and {more} more' if more > 0 else ''})" if named else ""
        return f"{self.code} in {self.kind} {self.layers[0]!r}{also}: {self.message}. Fix: {self.fix}"
