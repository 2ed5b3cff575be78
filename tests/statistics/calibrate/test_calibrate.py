"""Calibration gives the population's statistics as evaluation sees them, however the data are cut up."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from normwise.errors import ArgumentError, ModelError
from normwise.statistics import Moments, calibrate

Statistics = list[tuple[Tensor, Tensor]]


class _Functional(nn.Module):
    """Normalises by a function, so that no layer shows."""

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, training=True)


def _assert_close(got: Statistics, expected: Statistics) -> None:
    # Both are float64; only the order of summation differs.
    torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-12)


def _layer_by_layer(model: nn.Sequential, images: Tensor) -> Statistics:
    """Mean and variance that each BN must have, by the definition: all data at once, in float64."""
    expected, x = [], images
    for layer in model:
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=1)
            expected.append((mean, variance))
            x = F.batch_norm(x, mean, variance, layer.weight, layer.bias, eps=layer.eps)
        elif not isinstance(layer, nn.Dropout):
            x = layer(x)
    return expected


def _statistics(model: nn.Sequential) -> Statistics:
    return [(model[i].get_buffer("running_mean"), model[i].get_buffer("running_var")) for i in (1, 4)]


@torch.no_grad()
def test_each_layer_has_the_statistics_of_its_inputs_in_evaluation(
    deep: nn.Sequential, images: Tensor
) -> None:
    calibrate(deep, [images])
    _assert_close(_statistics(deep), _layer_by_layer(deep, images))


@pytest.mark.parametrize("sizes", [[1] * 23, [1, 15, 7], [22, 1], [10, 0, 13]], ids=str)
@torch.no_grad()
def test_the_sizes_of_the_batches_do_not_matter(
    deep: nn.Sequential, images: Tensor, sizes: list[int]
) -> None:
    calibrate(deep, images.split(sizes))
    _assert_close(_statistics(deep), _layer_by_layer(deep, images))


@torch.no_grad()
def test_batches_of_one_class_each_do_not_matter(deep: nn.Sequential, images: Tensor) -> None:
    # Where a running average would remember the last class and forget the first.
    ordered = torch.cat([images - 100, images, images + 100])
    calibrate(deep, ordered.split(23))
    _assert_close(_statistics(deep), _layer_by_layer(deep, ordered))


@torch.no_grad()
def test_what_the_statistics_were_does_not_matter(deep: nn.Sequential, images: Tensor) -> None:
    calibrate(deep, [images])
    once = copy.deepcopy(_statistics(deep))
    calibrate(deep, [images])
    torch.testing.assert_close(_statistics(deep), once, rtol=0, atol=0)


@torch.no_grad()
def test_a_data_loader_will_do(deep: nn.Sequential, images: Tensor) -> None:
    # Its stub wants a Dataset; a list of tensors is one to it.
    calibrate(deep, DataLoader(list(images), batch_size=5))  # pyright: ignore[reportArgumentType]
    _assert_close(_statistics(deep), _layer_by_layer(deep, images))


@torch.no_grad()
def test_evaluation_then_normalises_the_population(deep: nn.Sequential, images: Tensor) -> None:
    for layer in (deep[1], deep[4]):
        nn.init.ones_(layer.get_parameter("weight"))
        nn.init.zeros_(layer.get_parameter("bias"))
    calibrate(deep, images.split(4))
    normalised = Moments.of(deep[:5].eval()(images))
    torch.testing.assert_close(normalised.mean, torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-12)
    variance = normalised.unbiased_variance
    torch.testing.assert_close(variance, torch.ones_like(variance), rtol=1e-3, atol=0)  # eps


def test_only_running_statistics_move(deep: nn.Sequential, images: Tensor) -> None:
    before = copy.deepcopy(deep)
    calibrate(deep, [images])
    moved = [
        name for name, value in deep.state_dict().items() if not torch.equal(value, before.state_dict()[name])
    ]
    assert moved == ["1.running_mean", "1.running_var", "4.running_mean", "4.running_var"]
    assert all(parameter.grad is None for parameter in deep.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_modes_come_back(deep: nn.Sequential, images: Tensor, training: bool) -> None:
    deep.train(training)
    deep[1].train(not training)
    before = [module.training for module in deep.modules()]
    calibrate(deep, [images])
    assert [module.training for module in deep.modules()] == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in deep.modules())


def _scripted() -> nn.Module:
    return torch.jit.script(nn.Sequential(nn.BatchNorm1d(2)))


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: nn.Linear(2, 3), "pass the model that has the layers"),
        (lambda: nn.InstanceNorm1d(2, track_running_stats=True), "pass the model that has the layers"),
        (_scripted, r"calibrate the model before torch\.jit\.script"),
        (lambda: torch.fx.symbolic_trace(_Functional()), "its graph calls batch_norm as a function"),
    ],
    ids=["none", "another norm", "TorchScript", "graph"],
)
def test_a_model_without_a_layer_that_can_be_seen_is_refused(
    make: Callable[[], nn.Module], advice: str
) -> None:
    model = make()
    with pytest.raises(ModelError, match=f"has no BN layer, so there is nothing to calibrate.*{advice}"):
        calibrate(model, [torch.randn(4, 2)])
    assert model.training


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(
        ArgumentError, match=r"expected a torch\.nn\.Module as model, got list; the data come second"
    ):
        calibrate([torch.randn(4, 2)], nn.BatchNorm1d(2))  # pyright: ignore[reportArgumentType]


def test_no_batches_are_an_error_and_leave_everything(deep: nn.Sequential) -> None:
    before = copy.deepcopy(_statistics(deep))
    with pytest.raises(ArgumentError, match="the data have no batches"):
        calibrate(deep, [])
    torch.testing.assert_close(_statistics(deep), before, rtol=0, atol=0)
