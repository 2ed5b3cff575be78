"""Statistics for each step: which moves when, and what is there where none was seen."""

import copy
import io

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.errors import ArgumentError, ShapeError
from normwise.nn import BatchNormLSTM
from normwise.nn.recurrent import StepBatchNorm
from normwise.statistics import using_batch_statistics


@pytest.fixture
def values() -> Tensor:
    return torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 + 5


@pytest.mark.parametrize("momentum", [0.1, 0.5, None])
def test_each_step_is_torchs_layer_for_itself(values: Tensor, momentum: float | None) -> None:
    layer = StepBatchNorm(3, 2, momentum=momentum, dtype=torch.float64)
    theirs = [nn.BatchNorm1d(3, momentum=momentum, dtype=torch.float64) for _ in range(2)]
    for scale in (1.0, 3.0):
        for step, other in enumerate(theirs):
            x = scale * values + step
            assert torch.allclose(layer(x, step), other(x), rtol=0, atol=1e-12)
    for step, other in enumerate(theirs):
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            assert torch.allclose(layer.get_buffer(name)[step], other.get_buffer(name), rtol=0, atol=1e-12)
        assert torch.allclose(layer.eval()(values, step), other.eval()(values), rtol=0, atol=1e-12)
        layer.train()


def test_steps_beyond_the_last_share_its_statistics(values: Tensor) -> None:
    layer = StepBatchNorm(3, 2, dtype=torch.float64)
    for step in (0, 1, 2, 7):
        layer(values, step)
    assert layer.num_batches_tracked.tolist() == [1, 3]
    assert torch.equal(layer.eval()(values, 1), layer(values, 100))


def test_a_batch_of_one_is_normalised_by_the_running_statistics_and_moves_none(values: Tensor) -> None:
    layer = StepBatchNorm(3, 2, dtype=torch.float64)
    layer(values, 0)
    before = copy.deepcopy(layer.state_dict())
    output = layer(values[:1], 0)
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())
    assert torch.equal(output, layer.eval()(values[:1], 0))
    assert output.abs().sum() > 0


def test_a_sequence_that_is_longer_than_all_others_keeps_its_state_and_its_gradient() -> None:
    layer = BatchNormLSTM(4, 5, batch_first=True, dtype=torch.float64)
    x = torch.randn(3, 6, 4, dtype=torch.float64, requires_grad=True)
    _, (last, _) = layer(x, lengths=torch.tensor([2, 6, 2]))
    last[0, 1].sum().backward()
    assert x.grad is not None
    assert x.grad[1, 0].abs().sum() > 0
    assert x.grad[1, 5].abs().sum() > 0


def test_steps_that_no_training_batch_reached_have_the_statistics_of_the_last_that_was() -> None:
    layer = BatchNormLSTM(4, 5, max_length=8, dtype=torch.float64)
    layer(torch.randn(3, 6, 4, dtype=torch.float64))
    norm = layer.get_submodule("norm_c_l0")
    assert isinstance(norm, StepBatchNorm)
    assert norm.num_batches_tracked.tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert all(torch.equal(norm.running_mean[step], norm.running_mean[2]) for step in range(3, 8))
    assert not torch.equal(norm.running_mean[1], norm.running_mean[2])
    layer(torch.randn(5, 6, 4, dtype=torch.float64))
    assert torch.equal(norm.running_var[7], norm.running_var[4])
    layer(torch.randn(2, 6, 4, dtype=torch.float64))
    assert norm.num_batches_tracked.tolist() == [3, 3, 2, 1, 1, 0, 0, 0]
    assert not torch.equal(norm.running_mean[2], norm.running_mean[4])


def test_evaluation_with_batch_statistics_moves_nothing(values: Tensor) -> None:
    layer = BatchNormLSTM(4, 5, max_length=3, dtype=torch.float64)
    x = torch.randn(5, 6, 4, dtype=torch.float64)
    trained = copy.deepcopy(layer)(x)[0]
    before = copy.deepcopy(layer.state_dict())
    with using_batch_statistics(layer):
        output = layer(x)[0]
    assert torch.equal(output, trained)
    assert not torch.equal(layer.eval()(x)[0], trained)
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


def test_it_is_frozen_and_thawed() -> None:
    layer = BatchNormLSTM(4, 5, max_length=3)
    assert normwise.freeze(layer).layers == ("norm_ih_l0", "norm_hh_l0", "norm_c_l0")
    before = copy.deepcopy(layer.state_dict())
    x = torch.randn(5, 6, 4)
    assert torch.equal(layer.train()(x)[0], layer.eval()(x)[0])
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())
    normwise.unfreeze(layer)
    layer.train()(x)
    assert not torch.equal(before["norm_c_l0.running_mean"], layer.state_dict()["norm_c_l0.running_mean"])


def test_it_is_copied_and_saved_whole() -> None:
    layer = BatchNormLSTM(4, 5, 2, bidirectional=True, max_length=3)
    x = torch.randn(5, 6, 4)
    layer(x)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    other = BatchNormLSTM(4, 5, 2, bidirectional=True, max_length=3)
    other.load_state_dict(layer.state_dict())
    expected = layer.eval()(x)[0]
    for twin in (loaded, other, copy.deepcopy(layer)):
        assert torch.equal(twin.eval()(x)[0], expected)


def test_resetting_forgets_all() -> None:
    torch.manual_seed(0)
    layer = BatchNormLSTM(4, 5, max_length=3)
    before = copy.deepcopy(layer.state_dict())
    layer(torch.randn(5, 6, 4))
    torch.manual_seed(0)
    layer.reset_parameters()
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


def test_wrong_arguments_are_one_error() -> None:
    with pytest.raises(ArgumentError, match="max_length must be 1 or more, got 0"):
        StepBatchNorm(3, 0)
    with pytest.raises(ShapeError, match=r"expected an input of shape \(N, 3\), got \(2, 4\)"):
        StepBatchNorm(3, 2)(torch.zeros(2, 4), 0)
