"""Errors for networks that can't be built: what was got, and what was expected."""

from typing import Any

import pytest
import torch
from torch import nn

from normwise.errors import ModelError
from normwise.models import MODELS, NORMS, TASKS, build

#: Networks of layers that each see a whole image.
IMAGE_MODELS = [name for name in TASKS["image"] if name != "row_lstm"]
LEAST = {
    "mnist_cnn": 4,
    "conv_pair": 2,
    "cnn_32": 2,
    "cnn_64": 10,
    "resnet": 4,
    "dense_bn": 1,
    "ioffe_mlp": 1,
}


@pytest.mark.parametrize(("model", "least"), LEAST.items())
def test_the_least_image_works(model: str, least: int) -> None:
    shape = (1, least, least)
    assert build(model, shape, 10)(torch.randn(3, *shape)).shape == (3, 10)


@pytest.mark.parametrize(
    ("model", "height", "width"),
    [
        (model, *size)
        for model, least in LEAST.items()
        if least > 1
        for size in ((least - 1, 28), (28, least - 1), (least - 1, least - 1))
    ],
)
def test_a_smaller_one_is_an_error_that_names_the_sizes(model: str, height: int, width: int) -> None:
    least = LEAST[model]
    with pytest.raises(ModelError, match=rf"^{model} .* {least}×{least} pixels, got {height}×{width};"):
        build(model, (1, height, width), 10)


@pytest.mark.parametrize("suggested", ["dense_bn", "ioffe_mlp"])
def test_the_networks_suggested_for_small_images_take_any(suggested: str) -> None:
    with pytest.raises(ModelError, match=suggested):
        build("mnist_cnn", (1, 3, 3), 10)
    build(suggested, (1, 1, 1), 10)


def test_an_unknown_model_is_an_error_that_names_the_known() -> None:
    with pytest.raises(ModelError, match="unknown model 'alexnet'") as error:
        build("alexnet", (3, 32, 32), 10)
    assert all(name in str(error.value) for name in MODELS)


@pytest.mark.parametrize("model", IMAGE_MODELS)
def test_an_unknown_norm_is_an_error_that_names_the_known(model: str) -> None:
    with pytest.raises(ModelError, match="unknown norm 'spectral'") as error:
        build(model, (3, 32, 32), 10, norm="spectral")
    assert all(name in str(error.value) for name in NORMS)


@pytest.mark.parametrize(
    ("model", "options", "known"),
    [
        ("resnet", {"dept": 20}, "depth, width, bias, init, skip_init, init_scale"),
        ("resnet", {"name": "x"}, "depth, width, bias, init, skip_init, init_scale"),
        ("resnet", {"shape": 1}, "depth, width, bias, init, skip_init, init_scale"),
        ("resnet", {"classes": 5}, "depth, width, bias, init, skip_init, init_scale"),
        ("dense_bn", {"hidden": 3}, "placement, bias, init_scale"),
        ("ioffe_mlp", {"bias": True, "std": 0.1}, "placement, bias, width, init_std, init_scale"),
        ("cnn_32", {"self": 1}, "placement, hidden, pooled, init_scale"),
    ],
)
def test_an_unknown_option_is_an_error_that_names_the_known(
    model: str, options: dict[str, Any], known: str
) -> None:
    with pytest.raises(ModelError, match=f"{model} has no option '{list(options)[-1]}'; it has {known}$"):
        build(model, (3, 32, 32), 10, **options)


@pytest.mark.parametrize("model", ["ioffe_mlp", "mnist_cnn", "dense_bn", "conv_pair", "cnn_32", "cnn_64"])
def test_an_unknown_placement_is_an_error(model: str) -> None:
    with pytest.raises(ModelError, match=r"unknown placement 'between'.*'before' and 'after'"):
        build(model, (3, 32, 32), 10, placement="between")


@pytest.mark.parametrize(
    ("model", "options"), [("dense_bn", {}), ("ioffe_mlp", {}), ("cnn_64", {}), ("cnn_32", {"hidden": 128})]
)
def test_instance_norm_behind_a_dense_layer_is_an_error(model: str, options: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="dense layer's output has none"):
        build(model, (3, 32, 32), 10, norm="instance", **options)


@pytest.mark.parametrize(
    ("model", "option", "value", "kind"),
    [
        ("ioffe_mlp", "width", 1.5, "int"),
        ("ioffe_mlp", "width", True, "int"),
        ("ioffe_mlp", "init_std", "foo", "float"),
        ("dense_bn", "bias", 3, "bool"),
        ("resnet", "depth", "20", "int"),
        ("resnet", "init_scale", "abc", "float"),
        ("dense_bn", "init_scale", True, "float"),
    ],
)
def test_an_option_of_another_type_is_an_error(model: str, option: str, value: object, kind: str) -> None:
    with pytest.raises(
        ModelError, match=f"{model}: the option '{option}' takes a value like .* of type {kind}; got"
    ):
        build(model, (1, 8, 8), 10, **{option: value})  # pyright: ignore[reportArgumentType]


def test_an_option_that_is_a_fraction_may_be_a_whole_number() -> None:
    weights = []
    for value in (1, 1.0):
        torch.manual_seed(0)
        weights.append(build("ioffe_mlp", (1, 8, 8), 10, init_std=value).state_dict())
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)


@pytest.mark.parametrize("value", [-1, 0, 10**20])
@pytest.mark.parametrize(("model", "option"), [("ioffe_mlp", "width"), ("resnet", "depth")])
def test_a_size_is_at_least_one(model: str, option: str, value: int) -> None:
    with pytest.raises(
        ModelError, match=f"{model}: the option '{option}' takes a number from 1 to .*; got {value}"
    ):
        build(model, (1, 8, 8), 10, **{option: value})  # pyright: ignore[reportArgumentType]


def test_the_size_of_a_layer_that_may_be_missing_is_not_negative() -> None:
    with pytest.raises(ModelError, match=r"cnn_32: the option 'hidden' takes a number from 0 to .*; got -3"):
        build("cnn_32", (1, 8, 8), 10, hidden=-3)


@pytest.mark.parametrize("value", [-0.5, -1, float("nan"), float("inf"), 10**400])
@pytest.mark.parametrize("option", ["init_scale", "init_std"])
def test_the_size_of_weights_is_finite_and_not_negative(option: str, value: Any) -> None:
    with pytest.raises(
        ModelError, match=f"ioffe_mlp: the option '{option}' takes a number from 0 to .*; got {value}"
    ):
        build("ioffe_mlp", (1, 8, 8), 10, **{option: value})


def test_what_no_memory_can_hold_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def huge(shape: Any, classes: int, *, norm: Any = "batch", width: int = 100) -> nn.Module:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 256000000000 bytes")

    monkeypatch.setitem(MODELS, "ioffe_mlp", huge)
    with pytest.raises(
        ModelError, match="ioffe_mlp with width=1000 does not fit into memory; make it smaller"
    ):
        build("ioffe_mlp", (1, 8, 8), 10, width=1000)


@pytest.mark.parametrize("norm", ["instance", lambda channels, axes: nn.InstanceNorm2d(channels)])
def test_instance_norm_of_a_single_position_is_an_error(norm: Any) -> None:
    with pytest.raises(
        ModelError, match=r"of 4×4 pixels a single one is left at blocks\.6\.norm1; use larger images"
    ):
        build("resnet", (1, 4, 4), 10, norm=norm)
    model = build("resnet", (1, 5, 4), 10, norm=norm)
    assert model.training
    assert model(torch.randn(1, 1, 5, 4)).isfinite().all()
