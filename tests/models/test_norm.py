"""The normalization that a network is built with."""

import pytest
import torch
from torch import nn

import normwise
from normwise.errors import ModelError
from normwise.models import NORMS, TASKS, build

#: Networks of layers that each see a whole image.
IMAGE_MODELS = [name for name in TASKS["image"] if name != "row_lstm"]
SHAPE = (3, 12, 12)


@pytest.mark.parametrize(
    ("norm", "dense", "images"),
    [
        ("batch", normwise.nn.BatchNorm1d, normwise.nn.BatchNorm2d),
        ("ghost", normwise.nn.GhostBatchNorm1d, normwise.nn.GhostBatchNorm2d),
        ("renorm", normwise.nn.BatchRenorm1d, normwise.nn.BatchRenorm2d),
        ("none", nn.Identity, nn.Identity),
        ("layer", nn.LayerNorm, nn.GroupNorm),
        ("group", nn.GroupNorm, nn.GroupNorm),
    ],
)
def test_the_layer_by_name(norm: str, dense: type[nn.Module], images: type[nn.Module]) -> None:
    network = build("cnn_64", SHAPE, 10, norm=norm)
    assert type(network.get_submodule("hidden.norm")) is dense
    assert type(network.get_submodule("features.0.norm")) is images


def test_instance_norm_is_affine_as_the_others_are() -> None:
    layer = build("mnist_cnn", SHAPE, 10, norm="instance").get_submodule("features.norm")
    assert isinstance(layer, nn.InstanceNorm2d)
    assert layer.weight is not None


@pytest.mark.parametrize(
    ("norm", "dims"), [("layer", (1, 2, 3)), ("instance", (2, 3)), ("batch", (0, 2, 3)), ("none", None)]
)
def test_what_is_normalised_together(norm: str, dims: tuple[int, ...] | None) -> None:
    x = 3 + 2 * torch.randn(4, 8, 5, 6, dtype=torch.float64)
    y = NORMS[norm](8, 2).double()(x)
    expected = x
    if dims is not None:
        variance = x.var(dims, correction=0, keepdim=True)
        expected = (x - x.mean(dims, keepdim=True)) / (variance + 1e-5).sqrt()
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 7, 12, 16, 17, 32, 64, 100, 128, 256, 1000])
def test_groups_divide_the_channels_and_keep_four_in_each(channels: int) -> None:
    layer = NORMS["group"](channels, 2)
    assert isinstance(layer, nn.GroupNorm)
    assert channels % layer.num_groups == 0
    assert 1 <= layer.num_groups <= 32
    assert channels // layer.num_groups >= min(4, channels)


@pytest.mark.parametrize(
    ("channels", "groups"), [(16, 4), (64, 16), (128, 32), (256, 32), (100, 25), (17, 1)]
)
def test_as_many_groups_as_that_allows(channels: int, groups: int) -> None:
    layer = NORMS["group"](channels, 0)
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == groups


@pytest.mark.parametrize(
    ("model", "calls"),
    [
        ("ioffe_mlp", [(100, 0)] * 3),
        ("mnist_cnn", [(32, 2)]),
        ("dense_bn", [(128, 0)]),
        ("conv_pair", [(64, 2), (64, 2)]),
        ("cnn_32", [(16, 2)]),
        ("cnn_64", [(32, 2), (64, 2), (128, 0)]),
        ("resnet", [(16, 2)] * 7 + [(32, 2)] * 6 + [(64, 2)] * 6),
    ],
)
def test_a_factory_is_called_with_channels_and_axes_of_each_layer(
    model: str, calls: list[tuple[int, int]]
) -> None:
    got: list[tuple[int, int]] = []

    def norm(channels: int, axes: int) -> nn.Module:
        got.append((channels, axes))
        return nn.Identity()

    build(model, SHAPE, 10, norm=norm)
    assert got == calls


@pytest.mark.parametrize("model", IMAGE_MODELS)
def test_the_layers_of_a_factory_are_used(model: str) -> None:
    class Doubling(nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            type(self).calls += 1
            return 2 * x

    network = build(model, SHAPE, 10, norm=lambda channels, axes: Doubling())
    network(torch.randn(2, *SHAPE))
    assert Doubling.calls == sum(isinstance(module, Doubling) for module in network.modules()) > 0


def test_a_number_behind_the_name_is_the_virtual_batch_or_the_steps_of_the_run() -> None:
    ghost = build("cnn_64", SHAPE, 10, norm="ghost:8").get_submodule("hidden.norm")
    assert isinstance(ghost, normwise.nn.GhostBatchNorm1d)
    assert ghost.virtual_batch_size == 8
    renorm = build("cnn_64", SHAPE, 10, norm="renorm:400").get_submodule("features.0.norm")
    assert isinstance(renorm, normwise.nn.BatchRenorm2d)
    assert (renorm.warmup_steps, renorm.r_max_steps, renorm.d_max_steps) == (50, 200, 200)


@pytest.mark.parametrize("norm", ["ghost:0", "ghost:", "ghost:-1", "layer:8", "renorm:1.5"])
def test_any_other_number_is_an_unknown_norm(norm: str) -> None:
    with pytest.raises(ModelError, match=f"unknown norm '{norm}'; known are batch, .*ghost:SAMPLES"):
        build("cnn_64", SHAPE, 10, norm=norm)


def test_options_of_bn_stand_behind_its_name() -> None:
    layer = build("cnn_64", SHAPE, 10, norm="batch:momentum=0.01,eps=0.001,affine=0").get_submodule(
        "hidden.norm"
    )
    assert isinstance(layer, normwise.nn.BatchNorm1d)
    assert (layer.momentum, layer.eps, layer.affine) == (0.01, 0.001, False)


@pytest.mark.parametrize("norm", ["batch:8", "batch:", "batch:eps", "batch:eps=small", "batch:eps=1,depth=2"])
def test_what_is_no_option_of_bn_is_named(norm: str) -> None:
    with pytest.raises(
        ModelError, match=f"norm '{norm}': '.*' is not an option of BN; expected OPTION=NUMBER"
    ):
        build("cnn_64", SHAPE, 10, norm=norm)
