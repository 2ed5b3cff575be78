"""Comparison of two models with the same parameters on one call."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor, nn

from normwise.errors import ModelError
from normwise.surgery.core.decision import reason_of
from normwise.surgery.core.example_arguments import Arguments
from normwise.surgery.proof.digits import FLOAT32, epsilon_of_computation
from normwise.surgery.proof.distance import largest_difference, largest_error
from normwise.surgery.proof.few_digits import Runs, check_functions, check_rounding, has_numbers_of
from normwise.surgery.proof.rounding import (
    assert_rounding,
    in_double,
    only_rounding,
    rounding,
    sensitivity_of,
)
from normwise.surgery.proof.run_model import Gradients, run_model

#: Largest distance of outputs from those in float64, in multiples of the old model's distance.
_WORSE = 2.0
#: Rounding in float32: a smaller difference needs no further proof, also in a dtype with fewer digits.
_STRICT = math.sqrt(FLOAT32)
#: Comparison that is left out if digits are few and a model can't compute in float64.
_NO_FLOAT64 = (
    "numbers in float64, by which a small fault is told from the rounding of types with few digits (a model fails in "
    "it)"
)
#: Comparisons that are left out if not all gradients are available.
_NOT_COMPARED = {Gradients.OF_PARAMETERS: "gradients of the inputs", Gradients.NONE: "{}"}


@dataclass(frozen=True)
class Differences:
    """Differences of a new model's numbers from an old one's.

    Attributes:
        outputs: Largest difference of the outputs, relative to the largest value of each.
        gradients: Largest difference of the gradients; NaN if there are none.
        sensitivity: Largest allowed difference if gradients differ by more than rounding, else NaN. It is the
            movement of the old model's own gradients when its numbers change in their fifth digit, or in the last
            digit of dtypes with fewer.
        left_out: Comparisons that were not possible, since a model fails, with the reason; empty if all were.
    """

    outputs: float
    gradients: float
    sensitivity: float = math.nan
    left_out: str = ""


def differences(old: nn.Module, new: nn.Module, arguments: Arguments) -> Differences:
    """Compare outputs and gradients of two models, in training and in evaluation.

    Gradients are those of all parameters and floating inputs; a parameter's gradient is relative to the largest of
    its module. Gradients that are only rounding, such as those of a bias that BN cancels, are left out: in float64
    they are far smaller. Buffers, modes, existing gradients and the random state are restored. A mode in which the
    old model itself fails, such as training on a batch of one, is left out and reported. If a model needs inputs
    without gradients, or only works without gradients, those gradients are not compared.

    With few digits, as under autocast or with TF32, a fault may be as small as rounding. Then the models must agree
    in float64, and each in its own dtype must be about as close to float64 as the other.

    Raises:
        ModelError: the models differ by more than rounding, or the old model fails in both modes.
    """
    found: list[Differences] = []
    failures: list[tuple[str, Exception]] = []
    for training in (True, False):
        expected = None
        for gradients in Gradients:
            if training and gradients is Gradients.NONE:
                continue
            try:
                expected = run_model(old, training, arguments, gradients)
            except Exception as error:
                if gradients is Gradients.ALL:
                    failures.append(("training" if training else "gradients in evaluation", error))
                continue
            if gradients is not Gradients.ALL:
                failures[-1] = (_NOT_COMPARED[gradients].format(failures[-1][0]), failures[-1][1])
            found.append(_differences(old, new, training, arguments, expected, gradients))
            break
    if not found:
        raise ModelError(f"the model fails on the example: {failures[0][1]}") from failures[0][1]
    said = [f"{what} (the model itself fails: {reason_of(error)})" for what, error in failures]
    said += dict.fromkeys(one.left_out for one in found if one.left_out)
    return replace(largest_of(found), left_out="; ".join(said))


def largest_of(found: Sequence[Differences]) -> Differences:
    """Return the largest of several comparisons."""

    def largest(name: str) -> float:
        values = [getattr(one, name) for one in found]
        return max((value for value in values if not math.isnan(value)), default=math.nan)

    return Differences(
        largest("outputs"), largest("gradients"), largest("sensitivity"), found[0].left_out if found else ""
    )


def _differences(
    old: nn.Module,
    new: nn.Module,
    training: bool,
    arguments: Arguments,
    expected: tuple[list[Tensor], list[Tensor]],
    gradients: Gradients,
) -> Differences:
    """Return the differences in one mode, given the old model's outputs and gradients."""
    if not expected[0]:
        raise ModelError(
            "the model's output has no tensors, at least none in lists, tuples and dicts, so that nothing can be "
            "compared"
        )
    try:
        got = run_model(new, training, arguments, gradients)
    except Exception as error:
        raise ModelError(f"the new model fails on the example: {error}") from error
    allowed = rounding(old)
    owners = _owners(old, len(expected[1]))
    output_error = largest_difference(expected[0], got[0])
    gradient_error = largest_error(expected[1], got[1], owners)
    strict = min(allowed, _STRICT)
    if output_error <= strict and not gradient_error > strict:
        return Differences(output_error, gradient_error)
    exact = in_double(old, training, arguments, gradients)
    epsilon = epsilon_of_computation(old, training, arguments)
    if math.isfinite(output_error) and epsilon > FLOAT32:
        new_exact = None if exact is None else in_double(new, training, arguments, gradients)
        runs = Runs(expected, got, exact, new_exact)
        kept = check_functions(runs, owners, strict if has_numbers_of(new, old) else allowed)
        moved = partial(sensitivity_of, old, training, arguments, gradients, epsilon=epsilon)
        left_out = _NO_FLOAT64 if new_exact is None else ""
        return Differences(output_error, *check_rounding(runs, owners, kept, epsilon, moved), left_out)
    if not output_error <= allowed:
        # The old model's own outputs are no closer to the exact ones.
        own = math.nan if exact is None else largest_difference(exact[0], expected[0])
        if exact is None or not largest_difference(exact[0], got[0]) <= _WORSE * own:
            assert_rounding(output_error, allowed)
    if not gradient_error > allowed:
        return Differences(output_error, gradient_error)
    noise: set[int] = set()
    if exact is not None:
        noise = only_rounding(exact[1], expected[1], got[1], owners, allowed)
    kept = [number for number, owner in enumerate(owners) if owner not in noise]
    owners = [owners[number] for number in kept]
    before, after = ([tree[1][number] for number in kept] for tree in (expected, got))
    gradient_error = largest_error(before, after, owners)
    if not gradient_error > allowed:
        return Differences(output_error, gradient_error)
    sensitivity = sensitivity_of(old, training, arguments, gradients, kept, before, owners, gradient_error)
    assert_rounding(gradient_error, max(allowed, sensitivity))
    return Differences(output_error, gradient_error, sensitivity)


def output_error(old: nn.Module, new: nn.Module, arguments: Arguments) -> float:
    """Return the largest difference of outputs in evaluation on an example, relative to the old model's largest.

    NaN if there is no output to compare. Both models and the random state are unchanged.
    """
    gradients = Gradients.NONE
    return largest_difference(*(run_model(model, False, arguments, gradients)[0] for model in (old, new)))


def _owners(model: nn.Module, sources: int) -> list[int]:
    """Return a number for each gradient of :func:`run_model`, the same for those of one module."""
    owner: dict[Tensor, int] = {}
    for number, module in enumerate(model.modules()):
        for parameter in module.parameters(recurse=False):
            owner.setdefault(parameter, number)
    shared = [owner[parameter] for parameter in model.parameters() if parameter.requires_grad]
    return [*shared, *range(-1, len(shared) - sources - 1, -1)][:sources]
