"""Initial weights that are asked for by name, and blocks that start as their shortcut."""

import math

import pytest
import torch

from normwise.models import build

SHAPE = (3, 12, 12)


def test_hidden_layers_alone_are_scaled_with_their_biases() -> None:
    plain, scaled = (build("plain_mlp", SHAPE, 10, depth=3, hidden_scale=scale) for scale in (1.0, 0.25))
    for name, parameter in plain.named_parameters():
        factor = 0.25 if ".layer." in name else 1.0
        assert torch.equal(scaled.get_parameter(name), factor * parameter)


@pytest.mark.parametrize("path", ["conv", "blocks.0.conv1", "blocks.2.conv2"])
def test_he_weights_of_a_residual_net_have_their_deviation(path: str) -> None:
    model = build("resnet", SHAPE, 10, depth=8, width=64, bias=True, init="he")
    weight = model.get_parameter(f"{path}.weight")
    assert weight.std().item() == pytest.approx(math.sqrt(2 / weight[0].numel()), rel=0.05)
    assert not model.get_parameter(f"{path}.bias").any()


def test_with_skip_init_no_convolution_of_a_block_moves_the_output_at_first() -> None:
    model = build("resnet", SHAPE, 10, depth=8, norm="none", skip_init=True)
    x = torch.randn(2, *SHAPE)
    before = model(x)
    with torch.no_grad():
        model.get_parameter("blocks.1.conv2.weight").mul_(7)
        assert torch.equal(model(x), before)
        model.get_parameter("blocks.1.gain").fill_(1)
        assert not torch.allclose(model(x), before)


def test_pooling_leaves_the_mean_of_each_part_of_a_channel() -> None:
    model = build("cnn_32", SHAPE, 10, pooled=2)
    x = torch.randn(4, 16, 12, 12)
    maxima = torch.nn.functional.max_pool2d(x, 2)
    expected = torch.stack(
        [maxima[:, :, i : i + 3, j : j + 3].mean((2, 3)) for i in (0, 3) for j in (0, 3)], 2
    )
    torch.testing.assert_close(model.get_submodule("pool")(x).flatten(2), expected)
    assert model.get_parameter("output.weight").shape == (10, 64)
