"""Effects of rounding on the numbers of a model."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.errors import ModelError
from normwise.statistics.preserve.without_autocast import without_autocast
from normwise.surgery.core.example_arguments import Arguments
from normwise.surgery.proof.digits import epsilon_of_parameters
from normwise.surgery.proof.distance import largest_by_owner, largest_error
from normwise.surgery.proof.run_model import Gradients, run_model

#: Relative size of a disturbance in a dtype with enough digits.
_DISTURBANCE = 2.0**-18
#: Least and most disturbances that are tried to find how far gradients move under one.
_DRAWS, _MOST_DRAWS = 3, 24
#: Largest growth of a gradient in the new model that consists only of rounding.
_ROUNDING_GROWTH = 16.0


def rounding(model: nn.Module) -> float:
    """Return how far rounding may move a model's outputs, relative to the largest: half the digits of its dtype."""
    return math.sqrt(epsilon_of_parameters(model))


def assert_rounding(difference: float, allowed: float) -> None:
    """Raise ModelError if a difference of two models' numbers exceeds rounding."""
    if not difference <= allowed:
        raise ModelError(
            f"the new model's numbers differ from the old one's by {difference:.1e} of the largest, and "
            f"{allowed:.1e} is what rounding may do; the model is left as it was"
        )


def in_double(
    model: nn.Module, training: bool, arguments: Arguments, gradients: Gradients
) -> tuple[list[Tensor], list[Tensor]] | None:
    """Return a model's outputs and gradients in float64; None if it can't be copied or fails in float64.

    Autocast around the call is off. Autocast within the model does not affect float64.
    """

    def doubled(value: Any) -> Any:
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    try:
        exact: Arguments = pytree.tree_map(doubled, arguments)
        with without_autocast():
            return run_model(copy.deepcopy(model).double(), training, exact, gradients)
    except Exception:
        return None


def only_rounding(
    exact: Sequence[Tensor],
    expected: Sequence[Tensor],
    got: Sequence[Tensor],
    owners: Sequence[int],
    allowed: float,
) -> set[int]:
    """Return the owners of gradients that consist only of rounding, in both models.

    In float64 such a gradient is far smaller than in the old model's dtype.
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
    epsilon: float = 0.0,
    of_outputs: bool = False,
) -> float:
    """Return how far the old model's own gradients move when parameters and inputs change in their fifth digit.

    With ``epsilon``, for a dtype with fewer digits, they change by that; with ``of_outputs``, outputs are compared
    instead.

    At the kink of a ReLU the last digit decides whether a gradient passes. In a deep network some unit is always
    that close to it, and a unit that changes sides moves gradients by far more than rounding. The largest movement
    over several disturbances counts; more are tried while it is less than ``needed``. It is 0 if the model can't be
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
            size = max(_DISTURBANCE, epsilon, torch.finfo(value.dtype).eps)
            return value.detach() * (1 + size * noise)

        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(disturbed(parameter))
        others: Arguments = pytree.tree_map(disturbed, arguments)
        moved = run_model(model, training, others, gradients)[0 if of_outputs else 1]
        worst = max(worst, largest_error(expected, [moved[number] for number in numbers], owners))
    return worst
