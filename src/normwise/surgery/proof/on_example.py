"""Comparison of two models on an example, and on random numbers where the example could not tell."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from normwise.errors import ModelError
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.surgery.core.example_arguments import Arguments, copied, varied
from normwise.surgery.core.run_example import run_example
from normwise.surgery.proof.compare import Differences, differences, largest_of, output_error
from normwise.surgery.proof.digits import epsilon_of_computation, epsilon_of_parameters
from normwise.surgery.proof.distance import largest_difference
from normwise.surgery.proof.few_digits import rounding_of
from normwise.surgery.proof.rounding import in_double
from normwise.surgery.proof.run_model import Gradients, run_model, tensors_of

_FAILS_ON_RANDOM_NUMBERS = (
    "the example's floating tensors have one value each, on which nothing can be proven, and on random numbers the "
    "model fails: {error}. Pass an example of real data"
)


def output_difference(old: nn.Module, new: nn.Module, arguments: Arguments) -> float:
    """Return the largest difference of outputs in evaluation, relative to the largest output of the old model.

    It is the largest of all :func:`comparisons`; NaN where the models give no tensors. Both are left as they are.

    Raises:
        ModelError: the old model fails on the example, or the example proves nothing.
    """
    errors = []
    for call in comparisons(old, arguments):
        # Both evaluate, as one may hold layers of the other in a list of its own.
        with unchanged(old, new):
            old.eval()
            new.eval()
            errors.append(output_error(old, new, call))
    return max(errors)


def with_few_digits(
    old: nn.Module, new: nn.Module, arguments: Arguments, error: float, allowed: float
) -> tuple[float, float]:
    """Return the difference of outputs in evaluation that counts, and how far they may differ, where digits are few.

    Under autocast or with TF32 outputs may differ by more than rounding does in the type of the parameters. Then the
    models must agree in float64, and what is allowed is measured: how far the old model's own outputs are from those.

    Args:
        old: The old model.
        new: The new model.
        arguments: The example.
        error: Difference of outputs, larger than ``allowed``.
        allowed: How far outputs may differ in float64, and where the old model computes in its parameters' type.
    """
    limits = [allowed]
    for call in comparisons(old, arguments):
        with unchanged(old, new):
            epsilon = epsilon_of_computation(old, False, call)
            if epsilon <= epsilon_of_parameters(old):
                return error, allowed
            exact, new_exact = (in_double(model, False, call, Gradients.NONE) for model in (old, new))
            own = math.inf
            if exact is not None and new_exact is not None:
                in_float64 = largest_difference(exact[0], new_exact[0])
                if not in_float64 <= allowed:
                    return in_float64, allowed
                own = largest_difference(exact[0], run_model(old, False, call, Gradients.NONE)[0])
            limits.append(rounding_of(own, epsilon))
    return error, max(limits)


def all_differences(old: nn.Module, new: nn.Module, arguments: Arguments) -> Differences:
    """Return the largest differences of outputs and gradients on all :func:`comparisons`; both are left as they are.

    Raises:
        ModelError: they differ by more than rounding, the old model fails on the example, or that proves nothing.
    """
    found = []
    for call in comparisons(old, arguments):
        with unchanged(old, new):
            found.append(differences(old, new, call))
    return largest_of(found)


def comparisons(model: nn.Module, arguments: Arguments) -> list[Arguments]:
    """Return the calls on which a changed model must agree with the given one.

    The first is the example. Where all of its floating tensors have one value each, such as zeros, or where the
    outputs have, most differences would not show: a second call has random numbers added to them.

    Raises:
        ModelError: the model fails on the example, its outputs have no finite number, or the second call is needed
            and the model fails on it.
    """
    call = copied(arguments)
    outputs = tensors_of(_evaluated(model, call))
    if outputs and not any(output.isfinite().any() for output in outputs):
        raise ModelError(
            "the model's outputs have no finite number on the example, so that nothing can be proven of them; pass an "
            "example of real data, and check the model's weights and running statistics"
        )
    inputs = [value for value in tensors_of(call) if value.is_floating_point()]
    hidden = _are_constant(inputs)
    if not inputs or not (hidden or _are_constant(outputs)):
        return [call]
    other = varied(arguments)
    try:
        _evaluated(model, other, _FAILS_ON_RANDOM_NUMBERS)
    except ModelError:
        if not hidden:
            return [call]
        raise
    return [call, other]


def _evaluated(model: nn.Module, arguments: Arguments, *fails: str) -> Any:
    with unchanged(model), torch.no_grad():
        model.eval()
        return run_example(model, arguments, *fails)


def _are_constant(tensors: Iterable[Tensor]) -> bool:
    """Return whether each tensor has one value only, apart from those that are not finite, and one has several."""
    values = [tensor[tensor.isfinite()] for tensor in tensors if tensor.numel()]
    several = any(value.numel() > 1 for value in values)
    return several and all(bool((value == value[:1]).all()) for value in values)
