"""Evaluation for a while, by running statistics or by the batch's own; then each module's own mode again."""

import copy
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.nn.mixins.frozen import freeze_layer, unfreeze_layer
from normwise.statistics import evaluating, using_batch_statistics
from normwise.statistics.evaluation_modes import modes_kept

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


def _model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2)))


def test_all_modules_are_in_evaluation_inside() -> None:
    model = _model()
    with evaluating(model) as evaluated:
        assert evaluated is model
        assert not any(module.training for module in model.modules())


# The model itself and the four modules in it, in every mixture: a parent's mode says nothing of its children's.
@pytest.mark.parametrize(
    "modes", list(product([True, False], repeat=5)), ids=lambda modes: "".join("ET"[m] for m in modes)
)
def test_modes_come_back(modes: tuple[bool, ...]) -> None:
    model = _model()
    for module, mode in zip(model.modules(), modes, strict=True):
        module.training = mode
    with evaluating(model):
        pass
    assert tuple(module.training for module in model.modules()) == modes


@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt])
def test_they_come_back_after_an_exception(exception: type[BaseException]) -> None:
    model = _model()
    model[1].eval()
    with pytest.raises(exception), evaluating(model):
        raise exception
    assert [module.training for module in model.modules()] == [True, True, False, False, False]


def test_they_come_back_from_a_change_inside() -> None:
    model = _model().eval()
    with evaluating(model):
        model.train()
    assert not any(module.training for module in model.modules())


def test_a_shared_module_has_one_mode() -> None:
    shared = nn.Dropout()
    inner = nn.Sequential(shared)
    shared.eval()
    model = nn.Sequential(shared, inner)
    with evaluating(model):
        pass
    # Its second parent, whose mode comes back later, must not bring its own to it.
    assert (model.training, shared.training, inner.training) == (True, False, True)


def test_dropout_passes_everything_inside() -> None:
    with evaluating(nn.Sequential(nn.Dropout())) as model:
        assert torch.equal(model(torch.ones(100)), torch.ones(100))


def test_modes_are_kept_those_that_thawing_gives_too() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3).eval(), nn.Dropout())
    freeze_layer(model[0])
    with pytest.raises(ValueError, match="expected 4D"), modes_kept(model):
        model.eval()(torch.zeros(1))
    assert [layer.training for layer in model] == [False, False, True]
    unfreeze_layer(model[0])
    assert model[0].training
