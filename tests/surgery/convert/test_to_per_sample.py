"""Group, layer and instance norm: what is normalised together, and where there is nothing to normalise."""

import copy
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.records import Conversion

IMAGES = 1 + 2 * torch.randn(6, 8, 5, 5, generator=torch.Generator().manual_seed(0))
INPUTS = {
    0: IMAGES[..., 0, 0],
    1: IMAGES[..., 0],
    2: IMAGES,
    3: IMAGES.unsqueeze(-1).expand(-1, -1, -1, -1, 4),
}
TORCH: list[Any] = [nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d]


def convert(model: nn.Module, to: str, **options: Any) -> tuple[Any, Conversion]:
    return normwise.convert(model, to, **options)


def _expected(x: Tensor, layer: Any, groups: int) -> Tensor:
    parts = x.reshape(len(x), groups, -1)
    normed = (parts - parts.mean(-1, keepdim=True)) / (
        parts.var(-1, correction=0, keepdim=True) + layer.eps
    ).sqrt()
    shape = (1, -1, *[1] * (x.dim() - 2))
    return normed.view(x.shape) * layer.weight.view(shape) + layer.bias.view(shape)


@pytest.mark.parametrize(
    ("to", "dims", "groups"),
    [("group", dims, 2) for dims in INPUTS]
    + [("layer", dims, 1) for dims in INPUTS]
    + [("instance", dims, 8) for dims in (1, 2, 3)],
)
def test_other_norms_normalise_what_they_should_with_the_same_parameters(
    to: str, dims: int, groups: int, trained, said
) -> None:
    x = INPUTS[dims].double()
    layer = trained(TORCH[dims](8, eps=0.01).double(), x)
    new, report = convert(nn.Sequential(layer), to, example=x)
    torch.testing.assert_close(new(x), _expected(x, layer, groups))
    assert report.alters
    assert report.retrain
    old = copy.deepcopy(layer).eval()(x)
    error = (new(x) - old).abs().max() / old.abs().max()
    assert report.output_error == pytest.approx(error.item(), rel=1e-5)
    assert "its running statistics are dropped" in said(report)
    assert f"change (by {report.output_error:.1%} of the largest on the example)" in str(report)
    assert "retrain" in str(report)


def test_for_one_value_a_channel_layer_is_layer_norm() -> None:
    new, _ = convert(nn.BatchNorm1d(8), "layer")
    torch.testing.assert_close(new(INPUTS[0]), nn.LayerNorm(8)(INPUTS[0]))


@pytest.mark.parametrize(
    ("channels", "asked", "dims", "groups", "reason"),
    [
        (8, 4, 2, 4, ""),
        (8, 8, 2, 8, ""),
        (8, 8, 0, 4, "4 groups and not 8, so that they leave each more than one value"),
        (6, 6, 0, 3, "3 groups and not 6, so that they leave each more than one value"),
        (7, 7, 0, 1, "1 groups and not 7, so that they leave each more than one value"),
        (8, 3, 2, 2, "2 groups and not 3, so that they divide the channels"),
        (8, 32, 2, 8, "8 groups and not 32, so that they divide the channels"),
        (8, None, 2, 2, ""),
        (2, None, 0, 1, ""),
    ],
)
def test_groups_divide_the_channels_and_have_more_than_one_value(
    channels: int, asked: int | None, dims: int, groups: int, reason: str, said
) -> None:
    """https://github.com/meta-pytorch/opacus/issues/567, https://github.com/ppwwyyxx/GroupNorm-reproduce/issues/2"""
    example = INPUTS[dims][:, :channels]
    new, report = convert(nn.Sequential(TORCH[dims](channels)), "group", groups=asked, example=example)
    assert new[0].num_groups == groups
    assert new(example).std() > 0.5
    assert reason in said(report)
    assert ("groups and not" in said(report)) is bool(reason)


def test_without_an_example_single_channels_as_groups_are_said(said) -> None:
    new, report = convert(nn.BatchNorm1d(8), "group", groups=8)
    assert isinstance(new, nn.GroupNorm)
    assert "each channel is a group, which works only over several positions" in said(report)


def test_groups_can_be_changed(said) -> None:
    once, _ = convert(nn.Sequential(nn.BatchNorm2d(8)), "group", groups=4)
    assert said(convert(once, "group")[1]) == "it is one already"
    twice, report = convert(once, "group", groups=2)
    assert twice[0].num_groups == 2
    assert report.retrain


@pytest.mark.parametrize("to", ["group", "layer", "instance"])
def test_a_norm_of_one_value_is_left(to: str, said) -> None:
    model = nn.Sequential(nn.BatchNorm2d(1))
    new, report = convert(model, to, example=torch.randn(6, 1, 1, 1))
    assert type(new[0]) is nn.BatchNorm2d
    assert (
        said(report) == "it would normalise one value by itself, so that its output is β, whatever the input"
    )


@pytest.mark.parametrize(
    ("layer", "example", "reason"),
    [
        (nn.BatchNorm1d(8), INPUTS[0], r"an input of shape \(6, 8\) has no positions to normalise over"),
        (nn.BatchNorm1d(8), None, r"its input may be \(N, C\), which has no positions"),
        (nn.BatchNorm2d(8), INPUTS[2][..., :1, :1], "it would normalise one value by itself"),
        (nn.SyncBatchNorm(8), None, "nothing tells how many axes its input has; pass an example"),
    ],
)
def test_where_instance_norm_has_nothing_to_normalise_over_it_is_left(
    layer: nn.Module, example: Tensor | None, reason: str, said
) -> None:
    new, report = convert(nn.Sequential(layer), "instance", example=example)
    assert type(new[0]) is type(layer)
    assert re.match(reason, said(report))
