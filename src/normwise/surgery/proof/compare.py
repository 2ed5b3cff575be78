"""Whether two models over the same parameters compute the same, on an example."""

import copy
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.errors import ModelError
from normwise.nn.mixins.frozen import modes_kept
from normwise.statistics.preserve.random_state import random_state_kept
from normwise.statistics.preserve.snapshot import Snapshot
from normwise.surgery.core.example_arguments import Arguments

#: Relative size of a disturbance in a type with enough digits.
_DISTURBANCE = 2.0**-18
#: How many disturbances show how far gradients move under one: at least so many, and at most, while more is needed.
_DRAWS, _MOST_DRAWS = 3, 24
#: Outputs may be so many times as far from those in float64 as the old model's are.
_WORSE = 2.0
#: A gradient that is all rounding may be so many times as large in the new model.
_ROUNDING_GROWTH = 16.0


@dataclass(frozen=True)
class Differences:
    """Differences of a new model's numbers from an old one's.

    Attributes:
        outputs: Largest difference of the outputs, relative to the largest of each.
        gradients: Largest difference of the gradients; NaN where there are none.
        sensitivity: NaN, unless gradients differ by more than rounding: then it is how far the old model's own
            gradients move when its numbers do in their fifth digit, which is as far as they may differ.
        left_out: What could not be compared, since the old model itself fails in it, and how; empty if all was.
    """

    outputs: float
    gradients: float
    sensitivity: float = math.nan
    left_out: str = ""


def differences(old: nn.Module, new: nn.Module, arguments: Arguments) -> Differences:
    """Compare outputs and gradients of two models, in training and in evaluation.

    Gradients are those of all parameters and floating inputs; a parameter's is relative to the largest of its
    module. Those of a module that are nothing but rounding, such as those of a bias that BN cancels, are left out:
    computed in float64 they are far smaller. Buffers, modes, gradients that are there and the random state are as they
    were afterwards. A mode in which the old model itself fails, such as training on a batch of one, is left out, and
    said. Where a model needs inputs without gradients, or works without gradients alone, those are not compared.

    Raises:
        ModelError: they differ by more than rounding, or the old model fails in both modes.
    """
    found: list[Differences] = []
    failures: list[tuple[str, Exception]] = []
    for training in (True, False):
        expected = None
        for way in _Way:
            if training and way is _Way.WITHOUT_GRADIENTS:
                continue
            try:
                expected = _run(old, training, arguments, way)
            except Exception as error:
                if way is _Way.ALL_GRADIENTS:
                    failures.append(("training" if training else "gradients in evaluation", error))
                continue
            if way is not _Way.ALL_GRADIENTS:
                failures[-1] = (_NOT_COMPARED[way].format(failures[-1][0]), failures[-1][1])
            found.append(_differences(old, new, training, arguments, expected, way))
            break
    if not found:
        raise ModelError(f"the model fails on the example: {failures[0][1]}") from failures[0][1]
    said = "; ".join(f"{what} (the model itself fails: {_first_line(error)})" for what, error in failures)
    return replace(largest_of(found), left_out=said)


def largest_of(found: Sequence[Differences]) -> Differences:
    """Return the largest of several comparisons."""

    def largest(name: str) -> float:
        values = [getattr(one, name) for one in found]
        return max((value for value in values if not math.isnan(value)), default=math.nan)

    return Differences(
        largest("outputs"), largest("gradients"), largest("sensitivity"), found[0].left_out if found else ""
    )


class _Way(Enum):
    """Gradients that are asked of a model: of parameters and inputs, of parameters alone, none."""

    ALL_GRADIENTS = 1
    OF_PARAMETERS = 2
    WITHOUT_GRADIENTS = 3


#: What is left out where the first way fails and another does not.
_NOT_COMPARED = {_Way.OF_PARAMETERS: "gradients of the inputs", _Way.WITHOUT_GRADIENTS: "{}"}


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _differences(
    old: nn.Module,
    new: nn.Module,
    training: bool,
    arguments: Arguments,
    expected: tuple[list[Tensor], list[Tensor]],
    way: _Way,
) -> Differences:
    """Return the differences in one mode, of which the old model's outputs and gradients are known."""
    if not expected[0]:
        raise ModelError(
            "the model's output has no tensors, at least none in lists, tuples and dicts, so that nothing can be "
            "compared"
        )
    try:
        got = _run(new, training, arguments, way)
    except Exception as error:
        raise ModelError(f"the new model fails on the example: {error}") from error
    allowed = rounding(old)
    owners = _owners(old, len(expected[1]))
    output_error = largest_difference(expected[0], got[0])
    exact = None
    if not output_error <= allowed or _largest(expected[1], got[1], owners) > allowed:
        exact = _in_double(old, training, arguments, way)
    if not output_error <= allowed:
        # A model whose own outputs are no nearer to the exact ones than that.
        own = math.nan if exact is None else largest_difference(exact[0], expected[0])
        if exact is None or not largest_difference(exact[0], got[0]) <= _WORSE * own:
            _assert_rounding(output_error, allowed)
    gradient_error = _largest(expected[1], got[1], owners)
    if not gradient_error > allowed:
        return Differences(output_error, gradient_error)
    noise: set[int] = set()
    if exact is not None:
        noise = _all_rounding(exact[1], expected[1], got[1], owners, allowed)
    kept = [number for number, owner in enumerate(owners) if owner not in noise]
    owners = [owners[number] for number in kept]
    before, after = ([tree[1][number] for number in kept] for tree in (expected, got))
    gradient_error = _largest(before, after, owners)
    if not gradient_error > allowed:
        return Differences(output_error, gradient_error)
    sensitivity = _sensitivity(old, training, arguments, way, kept, before, owners, gradient_error)
    _assert_rounding(gradient_error, max(allowed, sensitivity))
    return Differences(output_error, gradient_error, sensitivity)


def rounding(model: nn.Module) -> float:
    """What rounding may do to the outputs of a model, relative to the largest: half the digits of its type."""
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
    return math.sqrt(torch.finfo(dtype).eps)


def output_error(old: nn.Module, new: nn.Module, arguments: Arguments) -> float:
    """Largest difference of the outputs in evaluation on an example, relative to the old model's largest.

    NaN where there is no output to compare. Both models are left as they are, and so is the random state.
    """
    way = _Way.WITHOUT_GRADIENTS
    return largest_difference(*(_run(model, False, arguments, way)[0] for model in (old, new)))


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


def _in_double(
    old: nn.Module, training: bool, arguments: Arguments, way: _Way
) -> tuple[list[Tensor], list[Tensor]] | None:
    """Return the old model's outputs and gradients in float64; None where it can't be copied or fails in it."""

    def doubled(value: Any) -> Any:
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    try:
        in_double = pytree.tree_map(doubled, arguments)
        return _run(copy.deepcopy(old).double(), training, in_double, way)
    except Exception:
        return None


def _all_rounding(
    exact: Sequence[Tensor],
    expected: Sequence[Tensor],
    got: Sequence[Tensor],
    owners: Sequence[int],
    allowed: float,
) -> set[int]:
    """Return the owners of gradients that are rounding and nothing else, in both models.

    In float64 such a gradient is far smaller than it is in the old model's type.
    """
    in_double, before, after = (_largest_of(gradients, owners) for gradients in (exact, expected, got))
    return {
        owner
        for owner, size in before.items()
        if in_double.get(owner, math.inf) <= allowed * size and after[owner] <= _ROUNDING_GROWTH * size
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
    arguments: Arguments,
    way: _Way,
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
        moved = _run(model, training, others, way)[1]
        worst = max(worst, _largest(expected, [moved[number] for number in numbers], owners))
    return worst


def _run(
    model: nn.Module, training: bool, arguments: Arguments, way: _Way
) -> tuple[list[Tensor], list[Tensor]]:
    """Return outputs, and the gradients that are asked for."""
    buffers = {buffer: buffer.clone() for buffer in model.buffers()}
    # A model that keeps tensors of its forward pass, such as LeViT, could not be copied any more.
    kept = Snapshot(model, values=False)
    gradients, of_inputs = way is not _Way.WITHOUT_GRADIENTS, way is _Way.ALL_GRADIENTS
    leaves = pytree.tree_map(partial(_leaf, with_gradient=of_inputs), arguments)
    try:
        # Seeded, so that dropout drops the same in both models, and so does what draws from Python or NumPy.
        with modes_kept(model), random_state_kept(), torch.set_grad_enabled(gradients):
            torch.manual_seed(0)
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002 (the state that models draw from)
            # Copies, as a forward may change its input in place, which a leaf that needs a gradient does not allow.
            args, kwargs = pytree.tree_map_only(Tensor, Tensor.clone, leaves) if of_inputs else leaves
            model.train(training)
            outputs = tensors_of(model(*args, **kwargs))
            floating = [output for output in outputs if output.requires_grad]
            sources = [t for t in [*model.parameters(), *tensors_of(leaves)] if t.requires_grad]
            found: tuple[Tensor | None, ...] = ()
            if gradients and floating and sources:
                # Not ones: behind a BN layer the gradient of a plain sum is zero.
                weights = [torch.randn_like(output) for output in floating]
                found = torch.autograd.grad(floating, sources, weights, allow_unused=True)
        zeros = (torch.zeros_like(s) if g is None else g for s, g in zip(sources, found, strict=False))
        return [output.detach() for output in outputs], list(zeros)
    finally:
        kept.restore()
        with torch.no_grad():
            for buffer, value in buffers.items():
                buffer.copy_(value)


def tensors_of(tree: Any) -> list[Tensor]:
    """All tensors in nested containers."""
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def _leaf(value: Any, *, with_gradient: bool) -> Any:
    """Return a tensor as a new leaf; if asked, a floating one as one that a gradient can be asked of."""
    if not isinstance(value, Tensor):
        return value
    return value.detach().clone().requires_grad_(with_gradient and value.is_floating_point())


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
