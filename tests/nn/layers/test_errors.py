"""A layer's errors name it by its path in the model, and leave it as it was."""

from functools import partial

import pytest
import torch

from normwise import nn
from normwise.errors import ArgumentError, MaskError, ShapeError

pytestmark = pytest.mark.usefixtures("implementation")

GOOD = torch.randn(2, 8, 4, 4)
CASES = {
    "channels": (
        {"input": torch.randn(2, 3, 4, 4)},
        ShapeError,
        r"expected 8 channels, got 3 \(axis 1 of the input's shape \(2, 3, 4, 4\)\)\. "
        r"Build the layer with num_features=3, or move the channels to axis 1",
    ),
    "axes": (
        {"input": torch.randn(2, 8)},
        ShapeError,
        r"expected an input of shape \(N, C, H, W\), got \(2, 8\)",
    ),
    "one value per channel": (
        {"input": torch.randn(1, 8, 1, 1)},
        ShapeError,
        r"expected more than 1 value per channel when training, got an input of shape \(1, 8, 1, 1\): .*"
        r"normalise with running statistics: \.eval\(\), on a layer that keeps them",
    ),
    "integers": (
        {"input": torch.ones(2, 8, 4, 4, dtype=torch.int32)},
        ArgumentError,
        r"expected an input of a floating type, got torch\.int32",
    ),
    "residual": (
        {"residual": torch.randn(2, 8, 2, 2)},
        ShapeError,
        r"the residual has the shape \(2, 8, 2, 2\), expected the input's, \(2, 8, 4, 4\)",
    ),
    "residual's device": (
        {"residual": torch.empty(2, 8, 4, 4, device="meta")},
        ArgumentError,
        "the residual is on meta, the input on cpu",
    ),
    "mask's shape": (
        {"mask": torch.ones(2, 4, dtype=torch.bool)},
        MaskError,
        r"expected a mask of shape \(2, 4, 4\), .* got \(2, 4\)",
    ),
    "mask's type": (
        {"mask": torch.ones(2, 4, 4)},
        MaskError,
        r"expected a boolean tensor as mask, .* got torch\.float32",
    ),
    "mask a list": ({"mask": [[True]]}, MaskError, "expected a boolean tensor as mask, .* got list"),
    "mask a string": ({"mask": "all"}, MaskError, "expected a boolean tensor as mask, .* got str"),
    "mask's device": (
        {"mask": torch.ones(2, 4, 4, dtype=torch.bool, device="meta")},
        MaskError,
        "the mask is on meta, the input on cpu",
    ),
}


LAYERS = {
    "plain": partial(nn.BatchNorm2d, 8),
    "plain average": partial(nn.BatchNorm2d, 8, momentum=None),
    "ghost": partial(nn.GhostBatchNorm2d, 8, virtual_batch_size=1),
    "renorm": partial(nn.BatchRenorm2d, 8, warmup_steps=0, momentum=None),
    "sync": partial(nn.SyncBatchNorm, 8, momentum=None),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("case", CASES)
def test_error_names_the_layer_and_leaves_it_untouched(case, make):
    change, kind, message = CASES[case]
    layer = make()
    if case == "axes" and isinstance(layer, nn.SyncBatchNorm):
        return  # It takes any number of them.
    layer(GOOD)
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    with pytest.raises(kind, match=f"^{type(layer).__name__}: " + message) as caught:
        layer(**{"input": GOOD, **change})
    # What torch.nn raises, and so what its users catch.
    assert isinstance(caught.value, ValueError)
    torch.testing.assert_close(layer.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("cls", "shape", "expected"),
    [
        (nn.BatchNorm1d, (2, 8, 4, 4), r"\(N, C\) or \(N, C, L\)"),
        (nn.BatchNorm1d, (8,), r"\(N, C\) or \(N, C, L\)"),
        (nn.BatchNorm2d, (2, 8, 4), r"\(N, C, H, W\)"),
        (nn.BatchNorm3d, (2, 8, 4, 4), r"\(N, C, D, H, W\)"),
        (nn.GhostBatchNorm1d, (2, 8, 4, 4), r"\(N, C\) or \(N, C, L\)"),
        (nn.BatchRenorm3d, (2, 8, 4, 4), r"\(N, C, D, H, W\)"),
        (nn.SyncBatchNorm, (8,), r"\(N, C\) or \(N, C, L\) or \(N, C, H, W\) or \(N, C, D, H, W\)"),
    ],
)
def test_wrong_number_of_axes_says_which_are_right(cls, shape, expected):
    with pytest.raises(ShapeError, match=f"^{cls.__name__}: expected an input of shape {expected}, got "):
        cls(8)(torch.randn(shape))


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(8, 3, 1)
        self.bn = nn.BatchNorm2d(8)

    def forward(self, x):
        return self.bn(self.conv(x))


def test_error_names_the_path_in_the_outermost_model():
    model = torch.nn.Sequential(torch.nn.Identity(), Block())
    with pytest.raises(ShapeError, match=r"^BatchNorm2d '1\.bn': expected 8 channels, got 3 "):
        model(GOOD)


def test_error_in_a_part_called_by_itself_names_the_path_in_that_part():
    model = torch.nn.Sequential(torch.nn.Identity(), Block())
    with pytest.raises(ShapeError, match=r"^BatchNorm2d 'bn': expected 8 channels, got 3 "):
        model[1](GOOD)


def test_one_value_per_channel_names_the_path_too():
    model = torch.nn.Sequential(nn.BatchNorm1d(8), torch.nn.Sequential(nn.BatchNorm1d(8)))
    model[0].eval()
    with pytest.raises(ShapeError, match=r"^BatchNorm1d '1\.0': expected more than 1 value per channel"):
        model(torch.randn(1, 8))


@pytest.mark.parametrize("masked", [False, True])
def test_one_value_per_channel_is_fine_in_evaluation(masked):
    mask = torch.ones(1, 1, 1, dtype=torch.bool) if masked else None
    assert nn.BatchNorm2d(8).eval()(torch.randn(1, 8, 1, 1), mask=mask).shape == (1, 8, 1, 1)


@pytest.mark.parametrize(
    "shape", [(2, 3, 4, 4), (2, 8, 4), (1, 8, 1, 1)], ids=["channels", "axes", "one value"]
)
def test_in_a_compiled_model_the_error_is_the_same_but_for_the_path(shape: tuple[int, ...]) -> None:
    model = torch.nn.Sequential(torch.nn.Sequential(nn.BatchNorm2d(8)))
    with pytest.raises(ShapeError) as plain:
        model(torch.randn(shape))
    with pytest.raises(ShapeError) as compiled:
        torch.compile(model, backend="aot_eager")(torch.randn(shape))
    assert str(compiled.value) == str(plain.value).replace(" '0.0'", "")


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("size", [(2, 8, 2, 2), (16, 8, 20, 20)], ids=["small", "large"])
@pytest.mark.parametrize(
    ("make", "found"),
    [
        *((LAYERS["plain"], found) for found in [(4,), (9,), (8, 1), (1,)]),
        *((LAYERS[family], (1,)) for family in ("ghost", "renorm")),
    ],
)
@pytest.mark.parametrize("name", ["weight", "bias", "running_mean", "running_var"])
def test_parameters_and_statistics_of_another_size_are_one_error_whatever_the_input(
    name, found, size, training, make
):
    layer = make().train(training)
    wrong = torch.ones(found)
    setattr(layer, name, torch.nn.Parameter(wrong) if name in layer._parameters else wrong)
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    with pytest.raises(ShapeError, match="orm2d: the input has 8 channels .*, but " + name) as caught:
        layer(torch.randn(size))
    assert f"has the shape {found}; expected (8,)" in str(caught.value)
    torch.testing.assert_close(layer.state_dict(), before, rtol=0, atol=0)


class Half(torch.nn.Module):
    """A parametrization that gives half of what it should."""

    def forward(self, weight):
        return weight[:4]


def test_a_parametrization_of_another_size_is_the_same_error():
    layer = nn.BatchNorm2d(8)
    torch.nn.utils.parametrize.register_parametrization(layer, "weight", Half(), unsafe=True)
    with pytest.raises(ShapeError, match=r"but weight has the shape \(4,\); expected \(8,\)"):
        layer(GOOD)


@pytest.mark.parametrize("activation", ["mish", ["relu"], 3], ids=str)
def test_an_activation_that_is_set_later_is_one_error(activation):
    layer = nn.BatchNorm2d(8)
    layer.activation = activation
    with pytest.raises(ArgumentError, match=r"^BatchNorm2d: unknown activation .*; known are None, 'relu'"):
        layer(GOOD)
    with pytest.raises(ArgumentError, match=r"^unknown activation"):
        nn.BatchNorm2d(8, activation=activation)
