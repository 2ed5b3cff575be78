"""Comparison of two models that compute with few digits, such as under autocast and with TF32.

There, rounding moves numbers by as much as a fault in one layer of many. So there are two separate checks. Both
models must compute the same function: they are compared in float64, where a fault shows. And in their own dtype
both must be about equally close to float64, which finds faults in code that only that dtype runs.
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
#: Largest distance of the new model from float64, in multiples of the old model's, and in units of its dtype.
_WORSE, _UNITS = 2.0, 4.0


@dataclass(frozen=True)
class Runs:
    """Outputs and gradients of two models on one call.

    Attributes:
        old: Numbers of the old model in its own dtype.
        new: Numbers of the new model in its own dtype.
        old_exact: Numbers of the old model in float64; None if it can't compute in float64.
        new_exact: Numbers of the new model in float64; None if one of the models can't compute in float64.
    """

    old: Run
    new: Run
    old_exact: Run | None
    new_exact: Run | None


def has_numbers_of(new: nn.Module, old: nn.Module) -> bool:
    """Return whether all the new model's parameters and buffers are the old one's, so that none was rounded again."""
    known = {id(tensor) for tensor in [*old.parameters(), *old.buffers()]}
    return all(id(tensor) in known for tensor in [*new.parameters(), *new.buffers()])


def rounding_of(own: float, epsilon: float) -> float:
    """Return the allowed distance of another model's outputs, given a model's own distance from float64.

    If that distance is too large, it means nothing: random numbers, such as those of dropout, may differ in
    float64.
    """
    most = math.sqrt(epsilon)
    return max((1 + _WORSE) * own, _UNITS * epsilon) if own <= most else most


def check_functions(runs: Runs, owners: Sequence[int], allowed: float) -> list[int]:
    """Check that both models compute the same in float64, and return the gradients that are more than rounding.

    If a model can't compute in float64, nothing is checked.

    Args:
        runs: Numbers of both models.
        owners: Number of the owner of each gradient, the same for those of one module.
        allowed: Largest allowed difference, relative to the largest number.

    Raises:
        ModelError: the numbers differ by more.
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
    """Check that rounding explains the difference of the models in their own dtype.

    Args:
        runs: Numbers of both models.
        owners: Number of the owner of each gradient, the same for those of one module.
        kept: Gradients that count.
        epsilon: Machine epsilon of the coarsest dtype that the old model computes in.
        sensitivity: Function that returns how far the old model's numbers move when its parameters and inputs
            change by ``epsilon``, like :func:`normwise.surgery.proof.rounding.sensitivity_of`.

    Returns:
        The largest difference of the gradients, and their sensitivity if it was needed.

    Raises:
        ModelError: rounding does not explain it.
    """
    for part, numbers, of in ((0, range(len(runs.old[0])), range(len(runs.old[0]))), (1, kept, owners)):
        before, after = ([run[part][number] for number in numbers] for run in (runs.old, runs.new))
        exact = None if runs.old_exact is None else [runs.old_exact[part][number] for number in numbers]
        chosen = [of[number] for number in numbers]
        error, moved = largest_error(before, after, chosen), math.nan
        allowed = math.sqrt(epsilon)
        distance, own = error, math.inf if exact is None else largest_error(exact, before, chosen)
        # Random numbers, such as those of dropout, may differ in float64: then it means nothing.
        if exact is not None and own <= allowed:
            distance, allowed = largest_error(exact, after, chosen), max(_WORSE * own, _UNITS * epsilon)
        if distance > allowed:
            moved = sensitivity(numbers, before, chosen, error, of_outputs=part == 0)
            assert_rounding(error, max(allowed, moved))
    return error, moved
