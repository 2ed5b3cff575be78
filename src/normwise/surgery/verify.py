"""Whether two models over the same parameters compute the same, on an example."""

import copy
import math
import random
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.errors import ModelError
from normwise.nn.frozen import modes_kept
from normwise.statistics.untouched import random_state_kept

#: Relative size of a disturbance in a type with enough digits.
_DISTURBANCE = 2.0**-18
#: How many disturbances show how far gradients move under one: at least so many, and at most, while more is needed.
_DRAWS, _MOST_DRAWS = 3, 24
#: A gradient that is all rounding may be so many times as large in the new model.
_ROUNDING_GROWTH = 16.0


def differences(
    old: nn.Module, new: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[float, float, float]:
    """Return the largest relative differences of outputs and of gradients, in training and in evaluation.

    The third number is NaN, unless gradients differ by more than rounding: then it is how far the old model's own
    gradients move when its numbers do in their fifth digit, which is as far as they may differ.

    Gradients are those of all parameters and floating inputs; a parameter's is relative to the largest of its
    module. Those of a module that are nothing but rounding, such as those of a bias that BN cancels, are left out:
    computed in float64 they are far smaller. Buffers, modes, gradients that are
    there and the random state are as they were afterwards. A mode in which the old model itself fails, such as
    training on a batch of one, is left out.

    Raises:
        ModelError: they differ by more than rounding, or the old model fails in both modes.
    """
    found: list[tuple[float, float, float]] = []
    failure: Exception | None = None
    # Without gradients last, for models that work in no other way.
    for training, with_gradients in ((True, True), (False, True), (False, False)):
        if found and not with_gradients:
            break
        try:
            expected = _run(old, training, args, kwargs, gradients=with_gradients)
        except Exception as error:
            failure = failure or error
            continue
        if not expected[0]:
            raise ModelError(
                "the model's output has no tensors, at least none in lists, tuples and dicts, so that nothing can be "
                "compared"
            )
        found.append(_differences(old, new, training, args, kwargs, expected, gradients=with_gradients))
    if not found:
        raise ModelError(f"the model fails on the example: {failure}") from failure
    outputs, gradients, sensitivities = zip(*found, strict=True)
    return max(outputs), max(gradients, key=_or_less), max(sensitivities, key=_or_less)


def _or_less(value: float) -> float:
    """Return the key that puts NaN below all numbers."""
    return -math.inf if math.isnan(value) else value


def _differences(
    old: nn.Module,
    new: nn.Module,
    training: bool,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    expected: tuple[list[Tensor], list[Tensor]],
    *,
    gradients: bool,
) -> tuple[float, float, float]:
    """Return :func:`differences` in one mode, of which the old model's outputs and gradients are known."""
    try:
        got = _run(new, training, args, kwargs, gradients=gradients)
    except Exception as error:
        raise ModelError(f"the new model fails on the example: {error}") from error
    allowed = rounding(old)
    owners = _owners(old, len(expected[1]))
    output_error = largest_difference(expected[0], got[0])
    _assert_rounding(output_error, allowed)
    gradient_error = _largest(expected[1], got[1], owners)
    if not gradient_error > allowed:
        return output_error, gradient_error, math.nan
    noise = _all_rounding(old, training, args, kwargs, expected[1], got[1], owners)
    kept = [number for number, owner in enumerate(owners) if owner not in noise]
    owners = [owners[number] for number in kept]
    before, after = ([tree[1][number] for number in kept] for tree in (expected, got))
    gradient_error = _largest(before, after, owners)
    if not gradient_error > allowed:
        return output_error, gradient_error, math.nan
    sensitivity = _sensitivity(old, training, args, kwargs, kept, before, owners, gradient_error)
    _assert_rounding(gradient_error, max(allowed, sensitivity))
    return output_error, gradient_error, sensitivity


def rounding(model: nn.Module) -> float:
    """What rounding may do to the outputs of a model, relative to the largest: half the digits of its type."""
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
    return math.sqrt(torch.finfo(dtype).eps)


def output_error(old: nn.Module, new: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
    """Largest difference of the outputs in evaluation on an example, relative to the old model's largest.

    NaN where there is no output to compare. Both models are left as they are, and so is the random state.
    """
    return largest_difference(*(_run(model, False, args, kwargs, gradients=False)[0] for model in (old, new)))


def largest_difference(expected: Sequence[Tensor], got: Sequence[Tensor]) -> float:
    """The largest difference of tensors, each relative to its own largest; infinite where sizes differ."""
    if [value.shape for value in expected] != [value.shape for value in got]:
        return math.inf
    return _largest(expected, got, range(len(expected)))


def _assert_rounding(difference: float, allowed: float) -> None:
    if not difference <= allowed:
        raise ModelError(
            f"the new model's numbers differ from the old one's by {difference:.1e} of the largest, and "
            f"{allowed:.1e} is what rounding may do; the model is left as it was"
        )


def _all_rounding(
    old: nn.Module,
    training: bool,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    expected: Sequence[Tensor],
    got: Sequence[Tensor],
    owners: Sequence[int],
) -> set[int]:
    """Return the owners of gradients that are rounding and nothing else, in both models.

    In float64 such a gradient is far smaller than it is in the old model's type. None where the model can't be copied
    or does not run in float64.
    """

    def doubled(value: Any) -> Any:
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    try:
        exact = _run(copy.deepcopy(old).double(), training, *pytree.tree_map(doubled, (args, kwargs)))[1]
    except Exception:
        return set()
    in_double, before, after = (_largest_of(gradients, owners) for gradients in (exact, expected, got))
    return {
        owner
        for owner, size in before.items()
        if in_double.get(owner, math.inf) <= rounding(old) * size and after[owner] <= _ROUNDING_GROWTH * size
    }


def _largest_of(gradients: Sequence[Tensor], owners: Sequence[int]) -> dict[int, float]:
    """Return the largest absolute value of each owner's gradients."""
    found: dict[int, float] = {}
    for gradient, owner in zip(gradients, owners, strict=False):
        size = gradient.abs().max().item() if gradient.numel() else 0.0
        found[owner] = max(found.get(owner, 0.0), math.inf if math.isnan(size) else size)
    return found


def _sensitivity(
    old: nn.Module,
    training: bool,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
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
        moved = _run(model, training, *pytree.tree_map(disturbed, (args, kwargs)))[1]
        worst = max(worst, _largest(expected, [moved[number] for number in numbers], owners))
    return worst


def _run(
    model: nn.Module, training: bool, args: tuple[Any, ...], kwargs: dict[str, Any], *, gradients: bool = True
) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs, and with ``gradients`` those of all parameters and inputs."""
    buffers = {buffer: buffer.clone() for buffer in model.buffers()}
    leaves = pytree.tree_map(_leaf, (args, kwargs))
    try:
        # Seeded, so that dropout drops the same in both models, and so does what draws from Python or NumPy.
        with modes_kept(model), random_state_kept(), torch.set_grad_enabled(gradients):
            torch.manual_seed(0)
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002 (the state that models draw from)
            # Copies, as a forward may change its input in place, which a leaf does not allow.
            args, kwargs = pytree.tree_map_only(Tensor, Tensor.clone, leaves)
            model.train(training)
            outputs = tensors_of(model(*args, **kwargs))
            floating = [output for output in outputs if output.requires_grad]
            sources = [t for t in [*model.parameters(), *tensors_of(leaves)] if t.requires_grad]
            found: tuple[Tensor | None, ...] = ()
            if floating and sources:
                # Not ones: behind a BN layer the gradient of a plain sum is zero.
                weights = [torch.randn_like(output) for output in floating]
                found = torch.autograd.grad(floating, sources, weights, allow_unused=True)
        zeros = (torch.zeros_like(s) if g is None else g for s, g in zip(sources, found, strict=False))
        return [output.detach() for output in outputs], list(zeros)
    finally:
        with torch.no_grad():
            for buffer, value in buffers.items():
                buffer.copy_(value)


def tensors_of(tree: Any) -> list[Tensor]:
    """All tensors in nested containers."""
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def _leaf(value: Any) -> Any:
    """A tensor as a new leaf; a floating one as one that a gradient can be asked of."""
    if not isinstance(value, Tensor):
        return value
    return value.detach().clone().requires_grad_(value.is_floating_point())


def _owners(model: nn.Module, sources: int) -> list[int]:
    """For each of the sources of :func:`_run`, a number that those of one module share."""
    owner: dict[Tensor, int] = {}
    for number, module in enumerate(model.modules()):
        for parameter in module.parameters(recurse=False):
            owner.setdefault(parameter, number)
    shared = [owner[parameter] for parameter in model.parameters() if parameter.requires_grad]
    return [*shared, *range(-1, len(shared) - sources - 1, -1)][:sources]


def _largest(expected: Sequence[Tensor], got: Sequence[Tensor], owners: Iterable[int]) -> float:
    errors: dict[int, float] = {}
    scales: dict[int, float] = {}
    for a, b, owner in zip(expected, got, owners, strict=True):
        if a.numel():
            a, b = a.double(), b.double()
            # What is no number in both is the same.
            same = (a == b) | (a.isnan() & b.isnan())
            error = torch.where(same, 0, (a - b).abs()).max().item()
            errors[owner] = max(errors.get(owner, 0.0), math.inf if math.isnan(error) else error)
            largest = torch.where(a.isfinite(), a.abs(), 0).max().item()
            scales[owner] = max(scales.get(owner, torch.finfo(torch.float32).tiny), largest)
    return max((error / scales[owner] for owner, error in errors.items()), default=math.nan)
