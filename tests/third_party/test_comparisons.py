"""The comparisons that the sweep rests on see what they are to see."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from .comparisons import assert_same_evaluation, assert_same_training, untouched
from .normalised import normalised
from .specimen import Subject


@pytest.fixture
def given() -> Subject:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    return Subject(model, torch.randn(4, 3, 6, 6), torch.randn(5, 3, 6, 6))


def _move_statistics(subject: Subject) -> None:
    subject.model.get_buffer("1.running_mean").add_(1e-6)


def _hook(subject: Subject) -> None:
    subject.model.get_submodule("1").register_forward_hook(lambda *_: None)


def _train(subject: Subject) -> None:
    subject.model.get_submodule("1").train()


def _write(subject: Subject) -> None:
    assert isinstance(subject.example, torch.Tensor)
    subject.example.relu_()


def _draw(subject: Subject) -> None:
    torch.rand(())


@pytest.mark.parametrize("change", [_move_statistics, _hook, _train, _write, _draw])
def test_what_an_operation_leaves_behind_is_seen(given: Subject, change: Callable[[Subject], None]) -> None:
    with (
        torch.random.fork_rng(devices=[]),
        pytest.raises(AssertionError, match="changed"),
        untouched(given.model, given.example),
    ):
        change(given)


def test_another_output_is_seen(given: Subject) -> None:
    new = copy.deepcopy(given.model)
    assert_same_evaluation(given, new)
    # Too little for float32's tolerance.
    new.get_parameter("1.weight").data[0] *= 1 + 1e-5
    with pytest.raises(AssertionError, match="outputs in evaluation"):
        assert_same_evaluation(given, new)


def test_statistics_that_a_step_leaves_alone_are_seen(given: Subject) -> None:
    new = copy.deepcopy(given.model)
    assert_same_training(given, new)
    new.get_submodule("1").__dict__["momentum"] = 0.0
    with pytest.raises(AssertionError, match=r"the buffer 1\.running_mean"):
        assert_same_training(given, new)


def test_a_gradient_that_is_cut_off_is_seen(given: Subject) -> None:
    new = copy.deepcopy(given.model)
    new.get_submodule("0").register_forward_hook(lambda module, inputs, output: output.detach())
    with pytest.raises(AssertionError, match="gradients"):
        assert_same_training(given, new)


def test_statistics_are_those_of_what_is_normalised(given: Subject) -> None:
    values = given.model.get_submodule("0")(given.example).transpose(0, 1).flatten(1)
    (found,) = normalised(given.model, [given.example]).values()
    torch.testing.assert_close(found[0].float(), values.mean(1))
    torch.testing.assert_close(found[1].float(), values.var(1))
