"""Comparisons of a model before an operation with the one after it, made without the library's own checks."""

import copy
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils import _pytree as pytree

from .running import Batch, Step, evaluate, random_states, train_copy
from .specimen import Subject, double

#: Largest difference, relative to the largest value: in float64, and of outputs in float32, evaluating and training.
DOUBLE, EVALUATION, TRAINING = 1e-7, 1e-3, 1e-2


@contextmanager
def untouched(model: nn.Module, *batches: Batch) -> Iterator[None]:
    """Assert that nothing of the model, of the batches and of the random states changes within."""
    tensors = [*model.parameters(), *model.buffers(), *pytree.tree_leaves(batches)]
    values = [tensor.detach().clone() for tensor in tensors]
    structure, states = _structure(model), random_states()
    yield
    assert _structure(model) == structure, "the given model's modules, modes, hooks or gradients changed"
    assert all(map(same_bits, values, tensors)), "values of the given model or of the example changed"
    assert random_states() == states, "a random state changed"
    try:
        copy.deepcopy(model)
    except Exception as error:
        raise AssertionError(f"the given model can't be copied any more: {error}") from error


@contextmanager
def training_passes(model: nn.Module) -> Iterator[list[nn.Module]]:
    """Collect the models of the same class that finish a forward pass in training within the context.

    An operation that promises something of training must have seen both models train.
    """
    finished: list[nn.Module] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if module.training and isinstance(module, type(model)):
            finished.append(module)

    handle = register_module_forward_hook(note)
    try:
        yield finished
    finally:
        handle.remove()


def assert_close(expected: Sequence[Tensor], got: Sequence[Tensor], tolerance: float, what: str) -> None:
    """Assert that each tensor differs by no more than ``tolerance`` of its largest value."""
    assert [tensor.shape for tensor in got] == [tensor.shape for tensor in expected], f"{what}: sizes differ"
    for number, (a, b) in enumerate(zip(expected, got, strict=True)):
        error = _difference(a, b, 0.0)
        assert error <= tolerance, f"{what}, tensor {number}: differ by {error:.1e} of the largest value"


def assert_evaluates(subject: Subject, new: nn.Module, tolerance: float = EVALUATION) -> None:
    """Assert outputs in evaluation that are the subject's."""
    assert_close(subject.evaluation, evaluate(new, subject.other), tolerance, "outputs in evaluation")


def assert_same_evaluation(subject: Subject, new: nn.Module) -> None:
    """Assert outputs in evaluation that are the subject's in float32 and, where it computes in it, in float64."""
    assert_evaluates(subject, new)
    if subject.double is not None:
        assert_evaluates(subject.double, double(new), DOUBLE)


def assert_same_training(subject: Subject, new: nn.Module, *, statistics: bool = True) -> None:
    """Assert outputs, gradients and, with ``statistics``, buffers of a training step that are the subject's.

    In float64 if the model computes in it, where no unit is so near to the kink of a ReLU that rounding decides whether
    a gradient passes; outputs in float32, too.
    """
    got = train_copy(new, subject.other).outputs
    assert_close(subject.step.outputs, got, TRAINING, "outputs in training")
    if subject.double is None:
        return
    expected, step = subject.double.step, train_copy(double(new), subject.double.other)
    assert_close(expected.outputs, step.outputs, DOUBLE, "outputs in training, float64")
    # A gradient that is all rounding is small beside the others.
    least = 1e-5 * max(gradient.abs().max().item() for gradient in expected.gradients.values())
    kept = dict(new.named_parameters())
    assert {name for name in expected.gradients if name in kept} == step.gradients.keys(), (
        "gradients of other parameters"
    )
    for name in step.gradients:
        error = _difference(expected.gradients[name], step.gradients[name], least)
        assert error <= DOUBLE, f"the gradient of {name} differs by {error:.1e}"
    if statistics:
        assert expected.buffers.keys() == step.buffers.keys(), "buffers have other names"
        for name, buffer in expected.buffers.items():
            error = _difference(buffer, step.buffers[name], 1e-5)
            assert error <= DOUBLE, f"the buffer {name} differs by {error:.1e} after a training step"


def assert_same_step(expected: Step, got: Step) -> None:
    """Assert that a training step is the same to the last bit."""
    assert all(map(same_bits, expected.outputs, got.outputs)), "outputs of the training step are not the same"
    assert expected.gradients.keys() == got.gradients.keys()
    assert expected.buffers.keys() == got.buffers.keys()
    for name, value in {**expected.gradients, **expected.buffers}.items():
        now = {**got.gradients, **got.buffers}[name]
        assert same_bits(value, now), f"{name} is not the same after the training step"


def assert_copies(subject: Subject, new: nn.Module) -> None:
    """Assert that a deep copy of the new model, and a pickled one if the old can be pickled, compute what it does."""
    expected = evaluate(new, subject.other)
    assert_close(expected, evaluate(copy.deepcopy(new), subject.other), 0.0, "a deep copy")
    try:
        pickle.dumps(subject.model)
    except Exception:
        return
    assert_close(expected, evaluate(pickle.loads(pickle.dumps(new)), subject.other), 0.0, "a pickled copy")


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors are equal, including their type and the places of NaN."""
    return a.dtype == b.dtype and a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def hooks_of(model: nn.Module) -> list[list[int]]:
    """Return the number of hooks of each kind of each module."""
    return [_hooks(module) for module in model.modules()]


def _difference(a: Tensor, b: Tensor, least: float) -> float:
    """The largest difference, relative to the largest value of ``a``, or to ``least`` if that is larger."""
    if not a.numel():
        return 0.0
    a, b = a.double(), b.double()
    same = (a == b) | (a.isnan() & b.isnan())
    error = torch.where(same, 0.0, (a - b).abs()).max().item()
    largest = torch.where(a.isfinite(), a.abs(), 0.0).max().item()
    return error / max(largest, least, torch.finfo(torch.float64).tiny)


def _structure(model: nn.Module) -> list[Any]:
    """All of a model that is no value of a tensor: it has to stay the same objects in the same places."""
    return [
        (path, module, type(module), module.training, _hooks(module), _own_tensors(module))
        for path, module in model.named_modules(remove_duplicate=False)
    ]


def _own_tensors(module: nn.Module) -> list[tuple[str, int, bool, bool]]:
    named = {**module._parameters, **module._buffers}
    return [
        (name, id(tensor), tensor.requires_grad, tensor.grad is None)
        for name, tensor in named.items()
        if tensor is not None
    ]


def _hooks(module: nn.Module) -> list[int]:
    return [len(value) for name, value in sorted(vars(module).items()) if name.endswith("_hooks")]
