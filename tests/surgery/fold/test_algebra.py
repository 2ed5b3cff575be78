"""Weights with a scale and a shift in them compute what the two steps do, for every kind of layer."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normwise.surgery.fold.algebra import Layout, into_inputs, into_outputs, scale_and_shift

_SHAPES = {1: (7,), 2: (6, 7), 3: (5, 6, 5)}
_APPLY: dict[tuple[bool, int], Any] = {
    (False, 1): F.conv1d,
    (False, 2): F.conv2d,
    (False, 3): F.conv3d,
    (True, 1): F.conv_transpose1d,
    (True, 2): F.conv_transpose2d,
    (True, 3): F.conv_transpose3d,
}


def _per_channel(value: Tensor, dims: int) -> Tensor:
    return value.reshape(-1, *[1] * dims)


def _weight(transposed: bool, dims: int, groups: int) -> Tensor:
    # Four inputs, six outputs.
    first, second = (4, 6 // groups) if transposed else (6, 4 // groups)
    return torch.randn(first, second, *[3] * dims, dtype=torch.float64)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    "settings", [{}, {"stride": 2, "dilation": 2, "padding": 1}], ids=["plain", "settings"]
)
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True], ids=["conv", "transposed"])
def test_a_scale_and_shift_of_outputs(
    transposed: bool, dims: int, settings: dict[str, int], groups: int, bias: bool
) -> None:
    torch.manual_seed(0)
    apply = _APPLY[transposed, dims]
    x, weight = torch.randn(2, 4, *_SHAPES[dims]).double(), _weight(transposed, dims, groups)
    old = torch.randn(6).double() if bias else None
    scale, shift = torch.randn(2, 6, dtype=torch.float64)
    expected = _per_channel(scale, dims) * apply(x, weight, old, groups=groups, **settings)
    expected = expected + _per_channel(shift, dims)
    new = into_outputs(weight, old, scale, shift, Layout(groups, transposed))
    torch.testing.assert_close(apply(x, *new, groups=groups, **settings), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("settings", [{}, {"stride": 2, "dilation": 2}], ids=["plain", "settings"])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True], ids=["conv", "transposed"])
def test_a_scale_and_shift_of_inputs(
    transposed: bool, dims: int, settings: dict[str, int], groups: int, bias: bool
) -> None:
    torch.manual_seed(0)
    apply = _APPLY[transposed, dims]
    x, weight = torch.randn(2, 4, *_SHAPES[dims]).double(), _weight(transposed, dims, groups)
    old = torch.randn(6).double() if bias else None
    scale, shift = torch.randn(2, 4, dtype=torch.float64)
    if transposed:
        # At the borders of its output fewer inputs are added up.
        with pytest.raises(ValueError, match="not a bias after it"):
            into_inputs(weight, old, scale, shift, Layout(groups, True))
        shift = torch.zeros_like(shift)
    moved = _per_channel(scale, dims) * x + _per_channel(shift, dims)
    expected = apply(moved, weight, old, groups=groups, **settings)
    new = into_inputs(weight, old, scale, shift, Layout(groups, transposed))
    torch.testing.assert_close(apply(x, *new, groups=groups, **settings), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_on_either_side(bias: bool) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(5, 4).double(), torch.randn(6, 4).double()
    old = torch.randn(6).double() if bias else None
    scale, shift = torch.randn(2, 6, dtype=torch.float64)
    behind = into_outputs(weight, old, scale, shift)
    torch.testing.assert_close(F.linear(x, *behind), scale * F.linear(x, weight, old) + shift)
    before = into_inputs(weight, old, scale[:4], shift[:4])
    torch.testing.assert_close(F.linear(x, *before), F.linear(scale[:4] * x + shift[:4], weight, old))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@torch.no_grad()
def test_the_scale_and_shift_of_a_layer_are_what_it_does_in_evaluation(
    affine: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    layer = nn.BatchNorm1d(3, eps=1e-2, affine=affine).to(dtype)
    layer.get_buffer("running_mean").normal_()
    layer.get_buffer("running_var").uniform_(0.5, 2)
    if affine:
        layer.weight.normal_()
        layer.bias.normal_()
    scale, shift = scale_and_shift(layer)
    assert scale.dtype == shift.dtype == torch.float64
    x = torch.randn(5, 3).double()
    torch.testing.assert_close(scale * x + shift, layer.double().eval()(x), rtol=1e-12, atol=1e-12)
