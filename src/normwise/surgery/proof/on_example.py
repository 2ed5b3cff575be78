"""Comparison of two models on an example, and on random numbers where the example could not tell."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from normwise.errors import ModelError
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.surgery.core.example_arguments import Arguments, copied, varied
from normwise.surgery.core.run_example import run_example
from normwise.surgery.proof.compare import Differences, differences, largest_of, output_error
from normwise.surgery.proof.run_model import tensors_of

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
