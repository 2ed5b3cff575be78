"""Flow of values through a model in evaluation: which operation feeds which, in modules and in functional code."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn

#: Operations that only move values, or only change their dtype.
PASSES_THROUGH = frozenset({
    "view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "transpose", "permute", "movedim", "moveaxis",
    "swapaxes", "swapdims", "t", "T", "mT", "H", "mH", "adjoint", "contiguous", "squeeze", "unsqueeze", "to", "cpu",
    "cuda", "clone", "detach", "data", "type", "float", "half", "bfloat16", "double", "identity", "alias", "expand",
    "expand_as",
})  # fmt: skip
#: Operations that drop values in training.
DROPOUT = frozenset(
    {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"}
)


@dataclass(frozen=True, eq=False)
class Op:
    """One operation of a forward pass: a call of a BN layer, or of a function or method on tensors.

    Attributes:
        name: ``"norm"`` for a call of a BN layer, ``"input"`` for an argument of the model, else the function's name
            without underscores, such as ``"conv2d"``, ``"relu"`` or ``"add"``.
        path: Path of the innermost running module; for a norm, path of the BN layer.
        module: Innermost running module.
        inputs: Operations that made the tensors it was called with; parameters have none.
        shape: Shape of its first output.
        probability: Probability of a dropout; 0 for other operations.
        by_batch: Whether it is a call of ``batch_norm`` as a function that normalises by the batch.
        axes: Axis of the input for each axis of the output, if the operation moves values; see ``axes.moved_axes``.
    """

    name: str
    path: str
    module: nn.Module | None
    inputs: tuple["Op", ...]
    shape: tuple[int, ...]
    probability: float = 0.0
    by_batch: bool = False
    axes: tuple[int | None, ...] = ()

    @property
    def moves(self) -> bool:
        """Return whether the operation only moves values."""
        return self.name in PASSES_THROUGH

    @property
    def is_dropout(self) -> bool:
        """Return whether the operation is a dropout that drops values in training."""
        return self.name in DROPOUT and self.probability > 0


@dataclass(frozen=True)
class Flow:
    """All operations of one forward pass, in their order.

    Attributes:
        ops: Operations in order.
        outputs: Operations that made the outputs of the model.
        failed: Reason why the forward pass ended early; empty if it did not.
        scores: Operation that made the output for the loss; None if there is none.
    """

    ops: tuple[Op, ...]
    outputs: tuple[Op, ...]
    failed: str = ""
    scores: Op | None = None
    _consumers: dict[Op, list[Op]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for op in self.ops:
            for one in dict.fromkeys(op.inputs):
                self._consumers.setdefault(one, []).append(op)

    def norms(self) -> Iterator[Op]:
        """Yield each call of a BN layer."""
        return (op for op in self.ops if op.name == "norm")

    def calls_of(self, path: str) -> list[Op]:
        """Return the calls of a BN layer."""
        return [op for op in self.norms() if op.path == path]

    def sources(self, op: Op) -> list[Op]:
        """Return the operations that an operation's values come from, skipping those that only move values."""
        return list(self._past(op, lambda each: list(each.inputs)))

    def consumers(self, op: Op) -> list[Op]:
        """Return the operations that use the values of an operation, skipping those that only move values."""
        return list(self._past(op, lambda each: self._consumers.get(each, [])))

    def is_output(self, op: Op, *, scores: bool = False) -> bool:
        """Return whether the values of an operation, possibly moved, are outputs of the model, or the scores."""
        ends = (self.scores,) if scores else self.outputs
        queue, seen = [op], {op}
        while queue:
            one = queue.pop()
            if one in ends:
                return True
            further = [c for c in self._consumers.get(one, []) if c.name in PASSES_THROUGH and c not in seen]
            seen.update(further)
            queue += further
        return False

    def _past(self, op: Op, following: Any) -> Iterator[Op]:
        queue, seen = list(following(op)), set()
        while queue:
            one = queue.pop(0)
            if one in seen:
                continue
            seen.add(one)
            if one.name in PASSES_THROUGH:
                queue += following(one)
            else:
                yield one
