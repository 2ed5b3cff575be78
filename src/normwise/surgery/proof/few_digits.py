"""Comparison of two models that compute with few digits, such as under autocast and with TF32.

There, rounding moves numbers by as much as a fault in one layer of many. So two questions are asked apart. Both models
must compute the same function: they are compared in float64, where a fault shows. And in their own type both must be
about as near to float64 as the other, which finds a fault of the code that only that type runs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from normwise.surgery.proof.digits import FLOAT32
from normwise.surgery.proof.distance import largest_difference, largest_error
from normwise.surgery.proof.rounding import assert_rounding, only_rounding

#: Outputs and gradients of a model.
Run = tuple[Sequence[Tensor], Sequence[Tensor]]
#: The new model may be so many times as far from float64 as the old one, or so many units of its type.
_WORSE, _UNITS = 2.0, 4.0


@dataclass(frozen=True)
class Runs:
    """Outputs and gradients of two models on one call.

    Attributes:
        old: In the old model's own type.
        new: In the new model's own type.
        old_exact: In float64; None where the model can't compute in it.
        new_exact: In float64; None where one of the models can't compute in it.
    """

    old: Run
    new: Run
    old_exact: Run | None
    new_exact: Run | None


def has_numbers_of(new: nn.Module, old: nn.Module) -> bool:
    """Return whether all of the new model's parameters and buffers are the old one's, so that none was rounded anew."""
    known = {id(tensor) for tensor in [*old.parameters(), *old.buffers()]}
    return all(id(tensor) in known for tensor in [*new.parameters(), *new.buffers()])


def rounding_of(own: float, epsilon: float) -> float:
    """Return how far another model's outputs may be, given how far a model's own ones are from those in float64.

    Where they are too far, they tell nothing: random numbers, such as those of dropout, may be others in float64.
    """
    most = math.sqrt(epsilon)
    return max((1 + _WORSE) * own, _UNITS * epsilon) if own <= most else most


def check_functions(runs: Runs, owners: Sequence[int], allowed: float) -> list[int]:
    """Check that both models compute the same in float64, and return which gradients are more than rounding.

    Where a model can't compute in float64, nothing is checked.

    Args:
        runs: The numbers.
        owners: A number for each gradient, which those of one module share.
        allowed: How far numbers may differ, relative to the largest.

    Raises:
        ModelError: they differ by more.
    """
    if runs.old_exact is None:
        return list(range(len(owners)))
    noise = only_rounding(runs.old_exact[1], runs.old[1], runs.new[1], owners, math.sqrt(FLOAT32))
    kept = [number for number, owner in enumerate(owners) if owner not in noise]
    if runs.new_exact is not None:
        assert_rounding(largest_difference(runs.old_exact[0], runs.new_exact[0]), allowed)
        expected, got = ([run[1][number] for number in kept] for run in (runs.old_exact, runs.new_exact))
        if kept:
            assert_rounding(largest_error(expected, got, [owners[number] for number in kept]), allowed)
    return kept


def check_rounding(
    runs: Runs, owners: Sequence[int], kept: Sequence[int], epsilon: float, sensitivity: Callable[..., float]
) -> tuple[float, float]:
    """Check that rounding explains how far the models differ in their own type.

    Args:
        runs: The numbers.
        owners: A number for each gradient, which those of one module share.
        kept: The gradients that count.
        epsilon: Machine epsilon of the coarsest type that the old model computes in.
        sensitivity: Tells how far the old model's numbers move when its parameters and inputs do by ``epsilon``, as
            :func:`normwise.surgery.proof.rounding.sensitivity_of` does.

    Returns:
        The largest difference of the gradients, and their sensitivity if it was needed.

    Raises:
        ModelError: it doesn't.
    """
    for part, numbers, of in ((0, range(len(runs.old[0])), range(len(runs.old[0]))), (1, kept, owners)):
        before, after = ([run[part][number] for number in numbers] for run in (runs.old, runs.new))
        exact = None if runs.old_exact is None else [runs.old_exact[part][number] for number in numbers]
        chosen = [of[number] for number in numbers]
        error, moved = largest_error(before, after, chosen), math.nan
        allowed = math.sqrt(epsilon)
        distance, own = error, math.inf if exact is None else largest_error(exact, before, chosen)
        # Random numbers, such as those of dropout, may be others in float64: then it tells nothing.
        if exact is not None and own <= allowed:
            distance, allowed = largest_error(exact, after, chosen), max(_WORSE * own, _UNITS * epsilon)
        if distance > allowed:
            moved = sensitivity(numbers, before, chosen, error, of_outputs=part == 0)
            assert_rounding(error, max(allowed, moved))
    return error, moved
