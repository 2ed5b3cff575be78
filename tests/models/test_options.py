"""Effect of each option of a network."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from normwise.models import TASKS, build

#: Networks of layers that each see a whole image.
IMAGE_MODELS = [name for name in TASKS["image"] if name != "row_lstm"]
LayersRun = Callable[[nn.Module, tuple[int, int, int]], list[str]]
SHAPE = (3, 12, 12)


@pytest.mark.parametrize("placement", ["before", "after"])
def test_cnn_32_can_have_a_hidden_layer(placement: str, layers_run: LayersRun) -> None:
    behind = {"before": ["BatchNorm1d 128", "ReLU"], "after": ["ReLU", "BatchNorm1d 128"]}[placement]
    layers = layers_run(build("cnn_32", SHAPE, 10, hidden=128, placement=placement), SHAPE)
    assert layers[-4:] == [f"Linear {16 * 6 * 6}→128", *behind, "Linear 128→10"]


@pytest.mark.parametrize(
    ("model", "without_bias"),
    [
        ("ioffe_mlp", ["hidden.0.layer", "hidden.1.layer", "hidden.2.layer"]),
        ("dense_bn", ["hidden.layer"]),
        ("conv_pair", ["first.layer", "second.layer"]),
    ],
)
def test_hidden_layers_lose_their_bias_and_the_output_keeps_it(model: str, without_bias: list[str]) -> None:
    layers = {
        path: module
        for path, module in build(model, SHAPE, 10, bias=False).named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
    }
    assert [path for path, layer in layers.items() if layer.bias is None] == without_bias
    assert layers["output"].bias is not None


def test_width_of_the_ioffe_mlp(layers_run: LayersRun) -> None:
    layers = layers_run(build("ioffe_mlp", SHAPE, 10, width=17), SHAPE)
    assert [layer for layer in layers if layer.startswith("Linear")] == [
        "Linear 432→17", "Linear 17→17", "Linear 17→17", "Linear 17→10",
    ]  # fmt: skip


@pytest.mark.parametrize("std", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("path", ["hidden.0.layer", "hidden.1.layer", "hidden.2.layer", "output"])
def test_the_ioffe_mlp_starts_gaussian_without_biases(path: str, std: float) -> None:
    model = build("ioffe_mlp", (1, 28, 28), 10, init_std=std)
    weights = model.get_parameter(f"{path}.weight").detach().double() / std
    # Four standard errors of the mean, the deviation and the kurtosis of that many Gaussian numbers.
    bound = 4 / weights.numel() ** 0.5
    assert abs(weights.mean()) < bound
    assert abs(weights.std() - 1) < bound
    assert abs(weights.pow(4).mean() - 3) < bound * 96**0.5
    assert not model.get_parameter(f"{path}.bias").any()


def test_the_ioffe_mlps_deviation_is_a_tenth_unless_told() -> None:
    told = build("ioffe_mlp", SHAPE, 10, init_std=0.1).state_dict()
    untold = build("ioffe_mlp", SHAPE, 10).state_dict()
    assert all(torch.equal(told[name], value) for name, value in untold.items())


@pytest.mark.parametrize("model", IMAGE_MODELS)
def test_init_scale_scales_the_weights_and_nothing_else(model: str) -> None:
    plain = build(model, SHAPE, 10).state_dict()
    scaled = build(model, SHAPE, 10, init_scale=4.0).state_dict()
    factors = {name: 4 if value.dim() > 1 else 1 for name, value in plain.items()}
    assert 4 in factors.values()
    assert [name for name in plain if not torch.equal(scaled[name], factors[name] * plain[name])] == []


def test_init_scale_zero_gives_zero_weights() -> None:
    model = build("dense_bn", SHAPE, 10, init_scale=0.0)
    assert not model.get_parameter("hidden.layer.weight").any()
