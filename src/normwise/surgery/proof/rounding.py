"""Effects of rounding on the numbers of a model."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.surgery.core.example_arguments import Arguments
from normwise.surgery.proof.distance import largest_by_owner, largest_error
from normwise.surgery.proof.run_model import Gradients, run_model

#: Relative size of a disturbance in a type with enough digits.
_DISTURBANCE = 2.0**-18
#: How many disturbances show how far gradients move under one: at least so many, and at most, while more is needed.
_DRAWS, _MOST_DRAWS = 3, 24
#: A gradient that is all rounding may be so many times as large in the new model.
_ROUNDING_GROWTH = 16.0


def rounding(model: nn.Module) -> float:
    """Return how far rounding may move the outputs of a model, relative to the largest: half the digits of its type."""
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
    return math.sqrt(torch.finfo(dtype).eps)


def in_double(
    old: nn.Module, training: bool, arguments: Arguments, gradients: Gradients
) -> tuple[list[Tensor], list[Tensor]] | None:
    """Return the old model's outputs and gradients in float64; None where it can't be copied or fails in it."""

    def doubled(value: Any) -> Any:
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    try:
        exact: Arguments = pytree.tree_map(doubled, arguments)
        return run_model(copy.deepcopy(old).double(), training, exact, gradients)
    except Exception:
        return None


def only_rounding(
    exact: Sequence[Tensor],
    expected: Sequence[Tensor],
    got: Sequence[Tensor],
    owners: Sequence[int],
    allowed: float,
) -> set[int]:
    """Return the owners of gradients that are rounding and nothing else, in both models.

    In float64 such a gradient is far smaller than it is in the old model's type.
    """
    in_float64, before, after = (largest_by_owner(gradients, owners) for gradients in (exact, expected, got))
    return {
        owner
        for owner, size in before.items()
        if in_float64.get(owner, math.inf) <= allowed * size and after[owner] <= _ROUNDING_GROWTH * size
    }


def sensitivity_of(
    old: nn.Module,
    training: bool,
    arguments: Arguments,
    gradients: Gradients,
    numbers: Sequence[int],
    expected: Sequence[Tensor],
    owners: Sequence[int],
    needed: float,
) -> float:
    """Return how far the old model's own gradients move when parameters and inputs do in their fifth digit.

    At the kink of a ReLU the last digit decides whether a gradient passes. In a deep network some unit is always
    that near to it, and one that changes sides moves gradients by far more than rounding. Of several disturbances the
    one that moves them most counts; more are tried while they move by less than ``needed``. 0 where the model can't be
    copied.
    """
    worst = 0.0
    for draw in range(_MOST_DRAWS):
        if draw >= _DRAWS and worst >= needed:
            break
        try:
            model = copy.deepcopy(old)
        except Exception:
            return worst
        generator = torch.Generator().manual_seed(draw)

        def disturbed(value: Any, generator: torch.Generator = generator) -> Any:
            if not isinstance(value, Tensor) or not value.is_floating_point():
                return value
            noise = torch.randn(value.shape, generator=generator).to(value)
            size = max(_DISTURBANCE, torch.finfo(value.dtype).eps)
            return value.detach() * (1 + size * noise)

        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(disturbed(parameter))
        others: Arguments = pytree.tree_map(disturbed, arguments)
        moved = run_model(model, training, others, gradients)[1]
        worst = max(worst, largest_error(expected, [moved[number] for number in numbers], owners))
    return worst
