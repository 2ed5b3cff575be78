"""Evaluation by the batch's own statistics is training's forward pass with nothing moved."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.statistics import using_batch_statistics

State = Callable[[nn.Module], object]


@torch.no_grad()
def test_outputs_are_those_of_training_without_dropout(deep: nn.Sequential, images: Tensor) -> None:
    trained = copy.deepcopy(deep).train()
    trained[6].eval()  # its dropout
    with using_batch_statistics(deep) as model:
        assert model is deep
        torch.testing.assert_close(model(images), trained(images), rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_they_are_not_those_of_evaluation(deep: nn.Sequential, images: Tensor) -> None:
    evaluated = copy.deepcopy(deep).eval()(images)
    with using_batch_statistics(deep):
        assert not torch.allclose(deep(images), evaluated)


def test_all_but_bn_are_in_evaluation(deep: nn.Sequential) -> None:
    with using_batch_statistics(deep):
        assert [path for path, module in deep.named_modules() if module.training] == ["1", "4"]


@pytest.mark.parametrize("momentum", [0.1, None])
@torch.no_grad()
def test_nothing_of_the_model_moves(
    deep: nn.Sequential, images: Tensor, state: State, momentum: float | None
) -> None:
    for layer in (deep[1], deep[4]):
        assert isinstance(layer, nn.BatchNorm2d)
        layer.momentum = momentum
    before = state(deep)
    with using_batch_statistics(deep):
        deep(images)
        deep(images - 7)
    assert state(deep) == before


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt])
def test_an_exception_brings_modes_and_tracking_back(
    deep: nn.Sequential, images: Tensor, state: State, training: bool, exception: type[BaseException]
) -> None:
    deep.train(training)
    deep[4].train(not training)
    before = state(deep)

    def fail() -> None:
        deep(images)
        raise exception

    with pytest.raises(exception), using_batch_statistics(deep):
        fail()
    assert state(deep) == before


@torch.no_grad()
def test_training_afterwards_moves_the_statistics_again(deep: nn.Sequential, images: Tensor) -> None:
    untouched = copy.deepcopy(deep)
    with using_batch_statistics(deep):
        deep(images)
    deep(images)
    untouched(images)
    assert deep[1].get_buffer("running_mean").equal(untouched[1].get_buffer("running_mean"))
    assert deep[1].get_buffer("num_batches_tracked") == 18


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, normwise.nn.BatchNorm1d, nn.SyncBatchNorm])
def test_a_layer_that_tracks_nothing_still_does_not_afterwards(kind: type[nn.BatchNorm1d]) -> None:
    layer, x = kind(2, track_running_stats=False), torch.randn(5, 2)
    with using_batch_statistics(layer):
        torch.testing.assert_close(layer(x).mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    assert not layer.track_running_stats


@torch.no_grad()
def test_a_layer_found_twice_is_one() -> None:
    layer = normwise.nn.BatchNorm1d(2)
    model = nn.Sequential(layer, layer)
    with using_batch_statistics(model):
        model(torch.randn(5, 2))
    assert layer.track_running_stats
    assert layer.get_buffer("num_batches_tracked") == 0


def test_gradients_flow(deep: nn.Sequential, images: Tensor) -> None:
    with using_batch_statistics(deep):
        deep(images).square().sum().backward()
    assert all(parameter.grad is not None for parameter in deep.parameters())


@torch.no_grad()
def test_blocks_may_stand_in_each_other(deep: nn.Sequential, images: Tensor, state: State) -> None:
    before = state(deep)
    with using_batch_statistics(deep):
        outer = deep(images)
        with using_batch_statistics(deep):
            assert torch.equal(deep(images), outer)
        assert torch.equal(deep(images), outer)
    assert state(deep) == before
