"""The steps that all operations on models share, from the check of the model to the optimiser."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import nn
from torch.optim import Optimizer

from normwise.errors import ModelError
from normwise.records import Change
from normwise.statistics import Batch
from normwise.surgery.core.decision import Decision
from normwise.surgery.core.example_arguments import Arguments, example_arguments
from normwise.surgery.core.move_optimizer import move_optimizer
from normwise.surgery.core.working_copy import working_copy
from normwise.surgery.proof.compare import Differences
from normwise.surgery.proof.on_example import all_differences, output_difference, with_few_digits
from normwise.surgery.proof.rounding import rounding


@dataclass
class Operation:
    """A running operation.

    Attributes:
        old: Original model, to compare with.
        new: Model to change, which the operation returns.
        example: Example as arguments of a call; None if there is none.
        decisions: Decisions on layers, for the report.
        removed: Parameters that the new model lacks; the optimiser drops them.
        added: Additional parameters of the new model, each with a parameter whose group of the optimiser it joins.
    """

    old: nn.Module
    new: nn.Module
    example: Arguments | None
    decisions: Sequence[Decision] = ()
    removed: set[nn.Parameter] = field(default_factory=set)
    added: dict[nn.Parameter, nn.Parameter] = field(default_factory=dict)
    _is_compared: bool = False

    def __post_init__(self) -> None:
        self._replaced = dict(zip(self.old.parameters(), self.new.parameters(), strict=True))

    @property
    def arguments(self) -> Arguments:
        """Return the example of an operation that has one."""
        if self.example is None:
            raise TypeError("the operation has no example")
        return self.example

    @property
    def changes(self) -> tuple[Change, ...]:
        """Return the decisions in the form of a report."""
        return tuple(decision.record() for decision in self.decisions)

    def compare_outputs(
        self, allowed: float | None, *, fails: str, differs: str, needs_numbers: bool = True
    ) -> tuple[float, float]:
        """Return the distance of the new model's outputs from the old model's in evaluation, and the allowed distance.

        Both are relative to the largest output.

        Args:
            allowed: Largest allowed distance; None for that of rounding.
            fails: Error text if the new model fails; ``{error}`` stands for the reason.
            differs: Error text if the distance is too large; ``{error}`` and ``{allowed}`` stand for the numbers.
            needs_numbers: Whether to refuse a model whose outputs have no numbers, for which nothing can be proven.

        Raises:
            ModelError: the distance is too large, or a model fails.
        """
        limit = rounding(self.old) if allowed is None else allowed
        try:
            error = output_difference(self.old, self.new, self.arguments)
            if allowed is None and error > limit:
                error, limit = with_few_digits(self.old, self.new, self.arguments, error, limit)
        except ModelError:
            raise
        except Exception as failure:
            raise ModelError(fails.format(error=failure)) from failure
        if math.isnan(error) and needs_numbers:
            raise ModelError(
                "the model's output has no numbers on the example, so that nothing can be proven of it"
            )
        if error > limit:
            raise ModelError(differs.format(error=error, allowed=limit))
        self._is_compared = True
        return error, limit

    def compare_all(self, old: nn.Module | None = None) -> Differences:
        """Return the distance of outputs and gradients from the old model's, in training and in evaluation.

        Args:
            old: Model to compare with, if not the old model itself: its parameters are those that stay.

        Raises:
            ModelError: the numbers differ by more than rounding, or a model fails.
        """
        found = all_differences(self.old if old is None else old, self.new, self.arguments)
        self._is_compared = True
        return found

    def _finish(self, optimizer: Optimizer | None) -> None:
        changed = any(decision.changed for decision in self.decisions)
        if changed and self.example is not None and not self._is_compared:
            raise RuntimeError("the new model was not compared with the old one")
        if optimizer is not None:
            moved = {old: None if new in self.removed else new for old, new in self._replaced.items()}
            names = {p: name for name, p in self.new.named_parameters()} if self.added else {}
            move_optimizer(optimizer, moved, self.added, names=names)


@contextmanager
def operation(
    model: nn.Module,
    example: Batch | None,
    *,
    inplace: bool,
    optimizer: Optimizer | None = None,
    shares: bool = False,
    is_wrapped: bool = False,
) -> Iterator[Operation]:
    """Run an operation on a model; an exception restores everything.

    In this order: the example is checked and copied, the model is checked, and a working copy is made, unless the
    model itself is changed. Then the body of the ``with`` statement changes ``new``, adds its ``decisions``, and
    compares the old and the new model once. At the end the optimiser moves to the new model. A model that was
    changed and not compared is never returned.

    Args:
        model: Model of the user.
        example: Example of the user; None for an operation that calls no model and compares nothing.
        inplace: Change the model itself instead of a copy.
        optimizer: Optimiser of the model, which trains the new model from now on.
        shares: Whether the new model shares parameters and buffers with the old one.
        is_wrapped: Whether to accept a model within a wrapper.

    Raises:
        ArgumentError: the example proves nothing, or the optimiser can't take the new model's parameters.
        ModelError: the model can't be worked on or fails, or the new model's numbers differ.
    """
    arguments = None if example is None else example_arguments(model, example)
    with working_copy(model, inplace, arguments, shares=shares, is_wrapped=is_wrapped) as (old, new):
        running = Operation(old, new, arguments)
        yield running
        running._finish(optimizer)
