"""Measures of what BN makes of its input, and of how its statistics come about."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from normwise.data import digits, epoch_order
from normwise.models import build
from normwise.training import AT_THE_END

DATA = digits()


def _model(name: str = "dense_bn", norm: str = "batch") -> nn.Module:
    model = build(name, DATA.shape, DATA.num_classes, norm=norm, seed=1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            if ".norm." in path:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize("name", ["dense_bn", "ioffe_mlp", "mnist_cnn"])
def test_bn_changes_no_skewness_kurtosis_or_correlation(name: str) -> None:
    measured = AT_THE_END["moments"](_model(name), DATA)
    assert max(measured[part] for part in ("skewness", "kurtosis", "correlation")) < 1e-9


def test_moments_are_those_of_numpy() -> None:
    model = _model()
    index = epoch_order(len(DATA.test), seed=0, epoch=0)[:256]
    images = DATA.test.inputs(index)["images"].flatten(1).double().numpy()
    layer = model.get_submodule("hidden.layer")
    weight, bias = (layer.get_parameter(name).detach().double().numpy() for name in ("weight", "bias"))
    x = images @ weight.T + bias
    z = (x - x.mean(0)) / x.std(0)
    skewness, kurtosis = (z**3).mean(0), (z**4).mean(0)
    correlations = np.abs(np.corrcoef(x.T))[~np.eye(x.shape[1], dtype=bool)]
    measured = AT_THE_END["moments"](model, DATA)
    assert measured["correlated"] == pytest.approx(correlations.mean(), rel=1e-9)
    jarque_bera = len(x) / 6 * (skewness**2 + (kurtosis - 3) ** 2 / 4)
    assert measured["not_normal"] == pytest.approx((jarque_bera > 9.2103).mean())
    assert 0 < measured["not_normal"] < 1


def test_a_layer_that_is_no_line_of_its_input_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model()
    model.get_submodule("hidden.norm").register_forward_hook(lambda _, inputs, made: made + made.square())
    measured = AT_THE_END["moments"](model, DATA)
    assert measured["skewness"] > 0.1
    assert measured["correlation"] > 0.01


def test_channels_that_all_are_constant_have_no_moments() -> None:
    model = _model()
    with torch.no_grad():
        model.get_parameter("hidden.layer.weight").zero_()
    assert all(map(math.isnan, AT_THE_END["moments"](model, DATA).values()))


@pytest.mark.parametrize("norm", ["batch", "batch:momentum=0.01", "batch:affine=0"])
def test_the_running_statistics_follow_the_batches_alone(norm: str) -> None:
    assert AT_THE_END["statistics_recurrence"](_model(norm=norm), DATA) < 1e-12


def test_statistics_that_something_else_moves_are_found_out() -> None:
    model = _model()
    layer = model.get_submodule("hidden.norm")

    def shift(layer: nn.Module, inputs: object, made: object) -> None:
        layer.running_mean = layer.get_buffer("running_mean") + 1e-3

    layer.register_forward_hook(shift)
    assert 1e-3 < AT_THE_END["statistics_recurrence"](model, DATA) < 1e-2


def test_statistics_that_gradients_move_are_found_out() -> None:
    model = _model()
    layer = model.get_submodule("hidden.norm")
    mean = layer.get_buffer("running_mean")
    del layer._buffers["running_mean"]
    layer.running_mean = nn.Parameter(mean, requires_grad=False)
    assert math.isinf(AT_THE_END["statistics_recurrence"](model, DATA))


@pytest.mark.parametrize("name", ["dense_bn", "mnist_cnn"])
def test_only_an_epsilon_above_0_survives_a_batch_without_variance(name: str) -> None:
    assert AT_THE_END["epsilon_sign"](_model(name), DATA) == {"positive": 1.0, "negative": 0.0}


def test_each_sample_moves_with_its_batchs_own_statistics_and_none_with_running_ones() -> None:
    measured = AT_THE_END["batch_dependence"](_model(), DATA)
    assert measured["running"]["moved"] == 0
    assert measured["batch"]["moved"] == 1


def test_a_bias_behind_bn_can_be_added_to_its_shift_unless_something_lies_between() -> None:
    model = build("dense_bn", DATA.shape, DATA.num_classes, norm="batch_and_bias", seed=1)
    with torch.no_grad():
        model.get_parameter("hidden.norm.bias.value").copy_(torch.linspace(-1, 1, 128))
    assert AT_THE_END["merged_bias"](model, DATA) < 1e-5
    model.get_submodule("hidden.norm.norm").register_forward_hook(lambda _, inputs, made: made.relu())
    assert AT_THE_END["merged_bias"](model, DATA) > 0.1
