"""Statistics in memory of any kind, and the other buffers of a model, which come back as they were."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.errors import ArgumentError
from normwise.statistics import calibrate, evaluating, using_batch_statistics

X = 5 + torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
BOTH = pytest.mark.parametrize("kind", [nn.BatchNorm1d, normwise.nn.BatchNorm1d])


def _assert_calibrated(layer: nn.Module) -> None:
    torch.testing.assert_close(layer.get_buffer("running_mean"), X.mean(0))
    torch.testing.assert_close(layer.get_buffer("running_var"), X.var(0))


@BOTH
@pytest.mark.parametrize("outside", [False, True])
def test_statistics_that_were_made_in_inference_mode(kind: type[nn.Module], outside: bool) -> None:
    with torch.inference_mode():
        model = nn.Sequential(kind(4))
        if not outside:
            calibrate(model, X.split(9))
    if outside:
        calibrate(model, X.split(9))
    _assert_calibrated(model[0])


@BOTH
def test_calibration_in_inference_mode(kind: type[nn.Module]) -> None:
    model = nn.Sequential(kind(4))
    with torch.inference_mode():
        calibrate(model, X.split(9))
    _assert_calibrated(model[0])
    model.train()(X).sum().backward()


@BOTH
def test_statistics_that_are_parts_of_one_tensor(kind: type[nn.Module]) -> None:
    model, shared = nn.Sequential(kind(4), kind(4)), torch.ones(4, 4)
    for number, layer in enumerate(model):
        layer.running_mean, layer.running_var = shared[:, 2 * number], shared[:, 2 * number + 1]
    calibrate(model, X.split(9))
    _assert_calibrated(model[0])
    torch.testing.assert_close(shared[:, 2], torch.zeros(4), rtol=0, atol=1e-5)


def _expanded(model: nn.Sequential) -> None:
    model[2].running_var = torch.tensor([4.0]).expand(4)


def _tied(model: nn.Sequential) -> None:
    model[2].running_mean = model[0].running_mean


def _overlapping(model: nn.Sequential) -> None:
    shared = torch.ones(7)
    model[0].running_var, model[2].running_var = shared[:4], shared[3:]


def _mean_is_variance(model: nn.Sequential) -> None:
    model[0].running_mean = model[0].running_var


def _pruned(model: nn.Sequential) -> None:
    model[0].running_var = torch.ones(3)


def _whole_numbers(model: nn.Sequential) -> None:
    model[2].running_mean = torch.zeros(4, dtype=torch.int64)


def _on_meta(model: nn.Sequential) -> None:
    model[2].to("meta")


def _freed(model: nn.Sequential) -> None:
    model[2].get_buffer("running_mean").untyped_storage().resize_(0)


@BOTH
@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (_expanded, r"elements of the running_var of .* '2' share memory .*layer.running_var = layer\."),
        (_tied, "the running_mean of .* '0' and the running_mean of .* '2' share memory"),
        (_overlapping, "the running_var of .* '0' and the running_var of .* '2' share memory"),
        (_mean_is_variance, "the running_mean of .* '0' and the running_var of .* '0' share memory"),
        (_pruned, r"'0' has a running_mean of shape \(4,\) and a running_var of shape \(3,\)"),
        (_whole_numbers, r"the running_mean of .* '2' is of torch\.int64; expected a floating type"),
        (_on_meta, "the running_mean of .* '2' has no memory"),
        (_freed, "the running_mean of .* '2' has no memory"),
    ],
)  # fmt: skip
def test_statistics_that_cannot_be_replaced_are_refused_before_anything_moves(
    kind: type[nn.Module], damage: Any, text: str
) -> None:
    model, read = nn.Sequential(kind(4), nn.Linear(4, 4), kind(4)), []
    damage(model)
    with pytest.raises(ArgumentError, match=text):
        calibrate(model, lambda: read.append(1) or [X])
    assert not read
    assert not any(module._forward_pre_hooks for module in model.modules())
    if damage not in (_mean_is_variance,):
        assert torch.equal(model[0].get_buffer("running_mean"), torch.zeros(4))


class Remembering(nn.Module):
    """Module that changes its buffers in ways that a forward pass may."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("last", torch.zeros(4))
        self.register_buffer("none", None)
        self.register_buffer("moved", torch.zeros(()), persistent=False)
        self.register_buffer("wide", torch.arange(3.0).expand(5, 3))
        self.register_buffer("odd", torch.tensor([float("nan"), 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        self.last = x.detach().mean(0)
        self.none = x.detach()
        self.get_buffer("moved").add_(1)
        self.get_buffer("odd").mul_(2)
        self.register_buffer("new", x.detach())
        del self.wide
        self.wide = 3
        if x.max() > 100:
            raise ValueError
        return self.norm(x)


@pytest.mark.parametrize("fails", [False, True])
def test_other_buffers_are_the_same_tensors_with_the_same_values(fails: bool) -> None:
    model = Remembering()
    before, values = dict(model.named_buffers()), copy.deepcopy(model.state_dict())
    data = [X, X + 100 * fails]
    if fails:
        with pytest.raises(normwise.errors.ModelError):
            calibrate(model, data)
    else:
        calibrate(model, data)
    after = dict(model.named_buffers())
    assert list(after) == list(before)
    assert all(after[name] is buffer for name, buffer in before.items())
    kept = {name: value for name, value in model.state_dict().items() if "running" not in name or fails}
    for name, value in kept.items():
        torch.testing.assert_close(value, values[name], rtol=0, atol=0, equal_nan=True)
    assert model.get_buffer("moved") == 0
    assert model.none is None
    assert torch.equal(model.get_buffer("wide"), torch.arange(3.0).expand(5, 3))
    assert not hasattr(model, "new")


class ByHand(nn.BatchNorm1d):
    def forward(self, input: Tensor) -> Tensor:
        self.running_mean = 0.9 * self.running_mean + 0.1 * input.detach().mean(0)  # pyright: ignore
        self.get_buffer("running_var").mul_(0.9)
        return input


def test_evaluation_by_batch_puts_back_what_a_subclass_moves() -> None:
    model = nn.Sequential(ByHand(4))
    mean = model[0].running_mean
    with using_batch_statistics(model):
        model(X)
    assert model[0].running_mean is mean
    assert torch.equal(model[0].get_buffer("running_mean"), torch.zeros(4))
    assert torch.equal(model[0].get_buffer("running_var"), torch.ones(4))


class NothingReturned(nn.Sequential):
    def train(self, mode: bool = True) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().train(mode)


@pytest.mark.parametrize("training", [True, False])
def test_a_train_that_does_not_return_the_model(training: bool) -> None:
    model = NothingReturned(nn.BatchNorm1d(4))
    model.train(training)
    calibrate(model, X)
    _assert_calibrated(model[0])
    with evaluating(model) as evaluated:
        assert evaluated is model
    with using_batch_statistics(model) as evaluated:
        assert evaluated is model
    assert model.training == model[0].training == training


def test_layers_with_parametrized_statistics_are_left_with_the_reason() -> None:
    class Doubled(nn.Module):
        def forward(self, value: Tensor) -> Tensor:
            return 2 * value

    model = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4))
    nn.utils.parametrize.register_parametrization(model[1], "running_mean", Doubled())
    report = calibrate(model, X)
    assert [layer.reason for layer in report.layers] == ["", "its running statistics are parametrized"]


def test_frozen_layers_alone_are_no_error_and_nothing_is_read() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4))
    normwise.freeze(model)
    report = calibrate(model, [X])
    assert (report.passes, report.batches) == (0, 0)
    assert str(report).startswith(
        "nothing was calibrated: 2 layers left as they are\n  0 (FrozenBatchNorm1d): left"
    )


def test_layers_that_keep_no_statistics_alone_are_an_error() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False))
    with pytest.raises(
        normwise.errors.ModelError, match=r"none of 1 BN layers.*'0': it keeps no running statistics"
    ):
        calibrate(model, [X])


def test_parts_that_are_torchscript_are_passed_through() -> None:
    inner = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    model = nn.Sequential(nn.BatchNorm1d(4), torch.jit.script(inner))
    report = calibrate(model, X)
    assert [layer.path for layer in report.layers] == ["0"]
    _assert_calibrated(model[0])
