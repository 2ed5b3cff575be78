"""Comparison of two models on an example, and on random numbers if the example proves too little."""

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

    It is the largest over all :func:`comparisons`; NaN if the models return no tensors. Both are unchanged.

    Raises:
        ModelError: the old model fails on the example, or the example proves nothing.
    """
    errors = []
    for call in comparisons(old, arguments):
        # Put both into evaluation mode, since one may hold layers of the other in a list.
        with unchanged(old, new):
            old.eval()
            new.eval()
            errors.append(output_error(old, new, call))
    return max(errors)


def with_few_digits(
    old: nn.Module, new: nn.Module, arguments: Arguments, error: float, allowed: float
) -> tuple[float, float]:
    """Return the relevant difference of outputs in evaluation, and the allowed one, if digits are few.

    Under autocast or with TF32 outputs may differ by more than rounding in the parameters' dtype. Then the models
    must agree in float64, and the allowed difference is measured: the old model's own distance from float64.

    Args:
        old: Old model.
        new: New model.
        arguments: Arguments of the example.
        error: Difference of outputs, larger than ``allowed``.
        allowed: Largest allowed difference in float64, and when the old model computes in its parameters' dtype.
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
    """Return the largest differences of outputs and gradients on all :func:`comparisons`; both models are unchanged.

    Raises:
        ModelError: the models differ by more than rounding, the old model fails on the example, or the example
            proves nothing.
    """
    found = []
    for call in comparisons(old, arguments):
        with unchanged(old, new):
            found.append(differences(old, new, call))
    return largest_of(found)


def comparisons(model: nn.Module, arguments: Arguments) -> list[Arguments]:
    """Return the calls on which a changed model must agree with the given one.

    The first call is the example. If all its floating tensors, or the outputs, have one value each, such as zeros,
    most differences would not show: then a second call has random numbers added.

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
    """Return whether each tensor has only one finite value, and at least one tensor has several elements."""
    values = [tensor[tensor.isfinite()] for tensor in tensors if tensor.numel()]
    several = any(value.numel() > 1 for value in values)
    return several and all(bool((value == value[:1]).all()) for value in values)
