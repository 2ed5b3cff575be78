"""Comparison of two models on an example, and on random numbers where the example could not tell."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from normwise.errors import ModelError
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.surgery.core.example_arguments import Arguments, copied, varied
from normwise.surgery.proof.compare import Differences, differences, largest_of, output_error, tensors_of


def output_difference(old: nn.Module, new: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
    """Return the largest difference of outputs in evaluation, relative to the largest output of the old model.

    It is the largest of all :func:`comparisons`; NaN where the models give no tensors. Both are left as they are.

    Raises:
        ModelError: the old model fails on the example, or the example proves nothing.
    """
    errors = []
    for call in comparisons(old, args, kwargs):
        # Both evaluate, as one may hold layers of the other in a list of its own.
        with unchanged(old, new):
            old.eval()
            new.eval()
            errors.append(output_error(old, new, *call))
    return max(errors)


def all_differences(
    old: nn.Module, new: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Differences:
    """Return the largest differences of outputs and gradients on all :func:`comparisons`; both are left as they are.

    Raises:
        ModelError: they differ by more than rounding, the old model fails on the example, or that proves nothing.
    """
    found = []
    for call in comparisons(old, args, kwargs):
        with unchanged(old, new):
            found.append(differences(old, new, *call))
    return largest_of(found)


def comparisons(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Arguments]:
    """Return the calls on which a changed model must agree with the given one.

    The first is the example. Where all of its floating tensors have one value each, such as zeros, or where the
    outputs have, most differences would not show: a second call has random numbers added to them.

    Raises:
        ModelError: the model fails on the example, its outputs have no finite number, or the second call is needed
            and the model fails on it.
    """
    call = copied(args, kwargs)
    try:
        outputs = tensors_of(_evaluated(model, call))
    except Exception as error:
        raise ModelError(f"the model fails on the example: {error}") from error
    if outputs and not any(output.isfinite().any() for output in outputs):
        raise ModelError(
            "the model's outputs have no finite number on the example, so that nothing can be proven of them; pass an "
            "example of real data, and check the model's weights and running statistics"
        )
    inputs = [value for value in tensors_of(call) if value.is_floating_point()]
    hidden = _are_constant(inputs)
    if not inputs or not (hidden or _are_constant(outputs)):
        return [call]
    other = varied(args, kwargs)
    try:
        _evaluated(model, other)
    except Exception as error:
        if not hidden:
            return [call]
        raise ModelError(
            "the example's floating tensors have one value each, on which nothing can be proven, and on random numbers "
            f"the model fails: {error}. Pass an example of real data"
        ) from error
    return [call, other]


def _evaluated(model: nn.Module, call: Arguments) -> Any:
    args, kwargs = copied(*call)
    with unchanged(model), torch.no_grad():
        model.eval()
        return model(*args, **kwargs)


def _are_constant(tensors: Iterable[Tensor]) -> bool:
    """Return whether each tensor has one value only, apart from those that are not finite, and one has several."""
    values = [tensor[tensor.isfinite()] for tensor in tensors if tensor.numel()]
    several = any(value.numel() > 1 for value in values)
    return several and all(bool((value == value[:1]).all()) for value in values)
