"""Biases that batch normalization cancels: removed where it does, in both modes, and nowhere else."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import normwise
from normwise.errors import ModelError
from normwise.records import BiasRemoval
from normwise.surgery import remove_biases

X = 1 + torch.randn(8, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Other(nn.Module):
    """A convolution and a norm in a forward of the given kind."""

    def __init__(self, forward: Callable[[nn.Module, nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.norm, self.how = nn.Conv1d(4, 4, 3, padding=1), nn.BatchNorm1d(4), forward

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self.conv, self.norm, x)


def _trained(model: nn.Module, seed: int = 0) -> Any:
    """In float64, with statistics of its own and biases that are far from zero."""
    torch.manual_seed(seed)
    model = model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    model.train()(X)
    return model


def _plain(norm: Any = nn.BatchNorm1d) -> Any:
    return _trained(nn.Sequential(nn.Conv1d(4, 4, 3), norm(4), nn.ReLU(), nn.Conv1d(4, 3, 1)))


def _remove(model: nn.Module, example: Any, **options: Any) -> tuple[Any, BiasRemoval]:
    return remove_biases(model, example, **options)


def _outputs(model: nn.Module, training: bool) -> Tensor:
    return copy.deepcopy(model).train(training)(X)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("norm", [nn.BatchNorm1d, normwise.nn.BatchNorm1d, nn.SyncBatchNorm])
def test_a_redundant_bias_is_gone_and_outputs_stay(norm: Any, training: bool) -> None:
    # https://github.com/cszn/KAIR/issues/4: the bias before a BN layer is dead; folded into the mean, not just dropped.
    model = _plain(norm)
    lean, report = _remove(model, X)
    assert lean[0].bias is None
    assert lean[3].bias is not None
    assert report.removed == 4
    torch.testing.assert_close(_outputs(lean, training), _outputs(model, training), rtol=0, atol=1e-12)
    torch.testing.assert_close(lean[1].running_mean, model[1].running_mean - model[0].bias)
    assert "1 bias removed, 4 parameters" in str(report)


def test_its_gradient_was_rounding_and_nothing_else() -> None:
    # https://github.com/autrainer/autrainer/pull/166: weight decay moves what the loss doesn't hold.
    model = _plain()
    F.mse_loss(model(X), torch.zeros(8, 3, 4, dtype=torch.float64)).backward()
    assert model[0].bias.grad.abs().max() < 1e-12 * model[0].weight.grad.abs().max()
    lean, _ = _remove(model, X)
    with torch.no_grad():
        model[0].bias.add_(5)
    torch.testing.assert_close(_outputs(model, True), _outputs(lean, True), rtol=0, atol=1e-12)


def test_the_given_model_is_left_alone() -> None:
    model = _plain()
    state, seed = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    _remove(model, X)
    torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)
    assert torch.equal(torch.random.get_rng_state(), seed)
    assert model.training
    assert model[0].bias is not None


def test_in_place_it_is_the_same_model() -> None:
    model = _plain()
    expected = _outputs(model, False)
    weight = model[0].weight
    same, _ = _remove(model, X, inplace=True)
    assert same is model
    assert model[0].weight is weight
    assert model[0].bias is None
    torch.testing.assert_close(_outputs(model, False), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda conv, norm, x: norm(F.relu(conv(x))), "before it, relu is not a convolution or linear layer"),
        (lambda conv, norm, x: norm(y := conv(x)) + y, "the output of Conv1d 'conv' is used in 2 places"),
        (lambda conv, norm, x: norm(conv(conv(x))), "Conv1d 'conv' is called 2 times"),
        (lambda conv, norm, x: norm(norm(conv(x))), "it is called 2 times"),
        (lambda conv, norm, x: norm(conv(x) + conv.bias.mean()), "before it, add is not a convolution or linear layer"),
        (lambda conv, norm, x: conv(x), "the example does not call it"),
        (lambda conv, norm, x: norm(conv(x)) if x.sum() > -1e9 else x, "its forward can't be traced"),
        (lambda conv, norm, x: norm(F.conv1d(x, conv.weight, conv.bias)), "conv1d is not a convolution"),
    ],
    ids=["activation", "also elsewhere", "called twice", "norm twice", "added", "not called", "control", "function"],
)  # fmt: skip
def test_a_bias_that_counts_stays_with_the_reason(forward: Any, reason: str) -> None:
    model = _trained(Other(forward))
    same, report = _remove(model, X)
    assert same.conv.bias is not None
    (change,) = report.changes
    assert not change.changed
    assert reason in change.detail
    assert report.removed == 0
    assert str(report).endswith("no redundant bias found")


def test_a_hook_that_sees_the_bias_keeps_it() -> None:
    model = _plain()
    model[0].register_forward_hook(lambda *_: None)
    same, report = _remove(model, X)
    assert same[0].bias is not None
    assert "hooks" in report.changes[0].detail


def test_before_a_frozen_norm_it_goes_where_beta_can_do_what_it_did() -> None:
    model = _plain()
    normwise.freeze(model)
    lean, report = _remove(model, X)
    assert lean[0].bias is None
    assert "which is frozen" in report.changes[0].detail
    torch.testing.assert_close(_outputs(lean, True), _outputs(model, True), rtol=0, atol=1e-12)


def test_before_a_frozen_norm_without_a_beta_that_learns_it_stays() -> None:
    model = _plain()
    normwise.freeze(model, parameters=True)
    same, report = _remove(model, X)
    assert same[0].bias is not None
    assert "counts in training" in report.changes[0].detail


def test_without_running_statistics_it_just_goes() -> None:
    model = _trained(nn.Sequential(nn.Conv1d(4, 4, 3), nn.BatchNorm1d(4, track_running_stats=False)))
    lean, _ = _remove(model, X)
    assert lean[0].bias is None
    torch.testing.assert_close(_outputs(lean, False), _outputs(model, False), rtol=0, atol=1e-12)


def test_the_optimiser_goes_on_without_it_as_it_would_have_with_it() -> None:
    model = _plain()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(trained: nn.Module, by: torch.optim.Optimizer) -> None:
        by.zero_grad()
        trained(X).square().mean().backward()
        by.step()

    step(model, optimizer)
    other, moved = copy.deepcopy((model, optimizer))
    lean, _ = _remove(other, X, optimizer=moved)
    assert {id(p) for g in moved.param_groups for p in g["params"]} == {id(p) for p in lean.parameters()}
    step(model, optimizer)
    step(lean, moved)
    torch.testing.assert_close(lean[0].weight, model[0].weight, rtol=0, atol=1e-10)
    torch.testing.assert_close(lean[3].bias, model[3].bias, rtol=0, atol=1e-10)


def test_a_model_that_fails_on_the_example_is_named_and_left() -> None:
    model = _plain()
    with pytest.raises(ModelError, match="the model fails on the example"):
        _remove(model, X[:, :3], inplace=True)
    assert model[0].bias is not None


def test_a_model_without_norms_says_so() -> None:
    _, report = _remove(nn.Sequential(nn.Linear(4, 2)), torch.ones(2, 4))
    assert str(report) == "no batch normalization found"


@given(data=st.data())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_random_networks_stay_equal_in_both_modes(draw_network: Any, data: st.DataObject) -> None:
    model, x = draw_network(data, dtypes=[torch.float64])
    lean, report = _remove(model, x)
    lost = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in lean.parameters())
    assert report.removed == lost
    for training in (True, False):
        with torch.no_grad():
            expected, got = (copy.deepcopy(m).train(training)(x) for m in (model, lean))
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


class Trains(nn.Module):
    """A layer and a norm, and something between them that training alone does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(4, 4, 3, padding=1), nn.BatchNorm1d(4)
        self.steps = 0

    def between(self, y: Tensor) -> Tensor:
        return y

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.norm(self.between(y) if self.training else y)


class DropsNowAndThen(Trains):
    def between(self, y: Tensor) -> Tensor:
        return y * (torch.rand(len(y), 1, 1) < 0.5) if torch.rand(()) < 1e-9 else y


class DropsByNumPy(Trains):
    def between(self, y: Tensor) -> Tensor:
        return y * 2 if np.random.rand() < 1e-9 else y  # noqa: NPY002


class DropsLater(Trains):
    def between(self, y: Tensor) -> Tensor:
        self.steps += 1
        return y * (torch.rand(len(y), 1, 1) < 0.5) if self.steps > 100 else y


class Noise(Trains):
    def between(self, y: Tensor) -> Tensor:
        return y + torch.randn_like(y)


class ByValues(Trains):
    def between(self, y: Tensor) -> Tensor:
        return y.abs() if y.mean() > 1e6 else y


@pytest.mark.parametrize("kind", [DropsNowAndThen, DropsByNumPy, DropsLater, Noise, ByValues])
def test_what_training_may_do_between_them_lets_the_bias_count(kind: Any) -> None:
    model = _trained(kind())
    new, report = remove_biases(model, X)
    assert not report.changes[0].changed
    assert "in training" in report.changes[0].detail
    assert new.get_submodule("conv").bias is not None


def test_training_that_does_the_same_lets_the_bias_go() -> None:
    new, report = remove_biases(_trained(Trains()), X)
    assert report.changes[0].changed
    assert new.get_submodule("conv").bias is None
