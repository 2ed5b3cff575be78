"""The residual network of He et al. 2015, section 4.2, by its numbers."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normwise.errors import ModelError
from normwise.models import build

CIFAR = (3, 32, 32)


def _block(model: nn.Module, index: int) -> nn.Module:
    blocks = model.get_submodule("blocks")
    return blocks.get_submodule(str(index))


@pytest.mark.parametrize("depth", [8, 14, 20, 56])
def test_as_many_weighted_layers_as_its_depth(depth: int) -> None:
    layers = [
        m for m in build("resnet", CIFAR, 10, depth=depth).modules() if isinstance(m, (nn.Conv2d, nn.Linear))
    ]
    assert len(layers) == depth


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_as_many_parameters_as_in_the_papers_table_6(depth: int, millions: float) -> None:
    count = sum(parameter.numel() for parameter in build("resnet", CIFAR, 10, depth=depth).parameters())
    assert round(count / 1e6, 1 if depth == 110 else 2) == millions


def test_the_default_depth_is_20() -> None:
    assert len(list(build("resnet", CIFAR, 10).get_submodule("blocks").children())) == 9


def test_three_stages_that_halve_the_image_and_double_the_channels() -> None:
    model, shapes = build("resnet", CIFAR, 10, depth=14), []
    for block in model.get_submodule("blocks").children():
        block.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))
    model(torch.randn(2, *CIFAR))
    assert shapes == [(16, 32, 32)] * 2 + [(32, 16, 16)] * 2 + [(64, 8, 8)] * 2


def test_convolutions_have_no_bias_and_the_classifier_has() -> None:
    biased = [
        path
        for path, module in build("resnet", CIFAR, 10, depth=8).named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None
    ]
    assert biased == ["output"]


def test_parameters_are_those_of_convolutions_norms_and_classifier() -> None:
    # So a shortcut has none.
    names = {name.rsplit(".", 2)[-2] for name, _ in build("resnet", CIFAR, 10, depth=14).named_parameters()}
    assert names == {"conv", "norm", "conv1", "norm1", "conv2", "norm2", "output"}


@pytest.mark.parametrize(("index", "inputs", "stride"), [(0, 16, 1), (1, 16, 2), (2, 32, 2)])
def test_a_shortcut_subsamples_and_fills_new_channels_with_zeros(
    index: int, inputs: int, stride: int
) -> None:
    block = _block(build("resnet", CIFAR, 10, depth=8), index)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()  # what is left is the shortcut
        x = torch.rand(2, inputs, 7, 8)
        y = block(x)
    assert torch.equal(y[:, :inputs], x[:, :, ::stride, ::stride])
    assert not y[:, inputs:].any()


def test_norm_before_relu_and_the_sum_before_the_last() -> None:
    block = _block(build("resnet", CIFAR, 10, depth=8), 0).double()
    x = torch.randn(4, 16, 6, 6, dtype=torch.float64)

    def normalised(values: Tensor) -> Tensor:
        return F.batch_norm(values, None, None, training=True)

    inner = F.relu(normalised(F.conv2d(x, block.get_parameter("conv1.weight"), padding=1)))
    expected = F.relu(x + normalised(F.conv2d(inner, block.get_parameter("conv2.weight"), padding=1)))
    torch.testing.assert_close(block(x), expected)


def test_the_stem_normalises_before_relu_and_the_head_averages_positions() -> None:
    model = build("resnet", CIFAR, 10, depth=8).double()
    model.register_module("blocks", nn.Identity())
    model.register_module("output", nn.Identity())
    x = torch.randn(4, 3, 6, 6, dtype=torch.float64)
    stem = F.conv2d(x, model.get_parameter("conv.weight"), padding=1)
    expected = F.relu(F.batch_norm(stem, None, None, training=True)).mean((2, 3))
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (32, 31)])
def test_any_size_of_image(size: tuple[int, int]) -> None:
    assert build("resnet", (1, *size), 3, depth=8)(torch.randn(2, 1, *size)).shape == (2, 3)


@pytest.mark.parametrize("depth", [2, 7, 9, 18, 19, 21])
def test_a_depth_that_is_not_6n_plus_2_is_an_error(depth: int) -> None:
    with pytest.raises(ModelError, match=rf"6n\+2.*got {depth}$"):
        build("resnet", CIFAR, 10, depth=depth)
