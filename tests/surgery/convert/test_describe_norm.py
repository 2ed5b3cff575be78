"""Layers that can be converted: subclasses, activations, constants of others, other norms; and why some are left."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise
from normwise.kernels import ACTIVATIONS
from normwise.nn.mixins.frozen import is_frozen
from normwise.records import Conversion

IMAGES = 1 + 2 * torch.randn(6, 8, 5, 5, generator=torch.Generator().manual_seed(0))
INPUTS = {
    0: IMAGES[..., 0, 0],
    1: IMAGES[..., 0],
    2: IMAGES,
    3: IMAGES.unsqueeze(-1).expand(-1, -1, -1, -1, 4),
}
OURS: list[Any] = [
    normwise.nn.BatchNorm1d,
    normwise.nn.BatchNorm1d,
    normwise.nn.BatchNorm2d,
    normwise.nn.BatchNorm3d,
]


class FrozenBatchNorm2d(nn.Module):
    """Constants, as torchvision's and detectron2's are."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.rand(channels) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias, mean, var = (b[:, None, None] for b in self.buffers())
        return (x - mean) * (var + self.eps).rsqrt() * weight + bias


class BatchNormAct2d(nn.BatchNorm2d):
    """timm's: a BN layer whose forward ends in an activation."""

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(super().forward(input))


class Tagged(nn.BatchNorm2d):
    """A subclass that computes what its parent does."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.tag = ["stem"]
        self.register_buffer("seen", torch.ones(1))

    def extra_repr(self) -> str:
        return "tagged"


class Residual(nn.Module):
    def __init__(self, layer: nn.Module, **further: Any) -> None:
        super().__init__()
        self.layer, self.further = layer, further

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, **({"residual": x} | self.further))


def convert(model: nn.Module, to: str, **options: Any) -> tuple[Any, Conversion]:
    return normwise.convert(model, to, **options)


@pytest.mark.parametrize("to", ["batch", "group", "layer", "instance"])
def test_a_subclass_with_its_own_forward_keeps_its_activation(to: str, trained, said) -> None:
    """https://github.com/pytorch/pytorch/issues/187298, https://github.com/huggingface/pytorch-image-models/issues/1254"""
    model = nn.Sequential(trained(BatchNormAct2d(8)))
    new, report = convert(model, to, example=IMAGES)
    assert type(new[0]) is BatchNormAct2d
    assert torch.equal(new.eval()(IMAGES), model.eval()(IMAGES))
    assert "BatchNormAct2d is a subclass with its own forward" in said(report)
    assert not report.changes[0].changed


def test_a_subclass_freezes_and_thaws_as_what_it_is(trained, said) -> None:
    frozen, _ = convert(nn.Sequential(trained(BatchNormAct2d(8))), "frozen", example=IMAGES)
    assert is_frozen(frozen[0])
    assert frozen.train()(IMAGES).min() == 0
    thawed, report = convert(frozen, "torch", example=IMAGES)
    assert type(thawed[0]) is BatchNormAct2d
    assert "it is not frozen any more" in said(report)
    assert said(convert(thawed, "torch")[1]) == "it is a subclass of one already"


def test_a_subclass_that_computes_what_its_parent_does_becomes_another_with_all_it_has(trained, said) -> None:
    model = nn.Sequential(trained(Tagged(8)))
    new, report = convert(model, "group", example=IMAGES)
    assert type(new[0]) is nn.GroupNorm
    assert new[0].tag == ["stem"]
    assert list(new.state_dict()) == ["0.weight", "0.bias", "0.seen"]
    assert "what Tagged defined is gone, what the layer has as attributes stays" in said(report)


@pytest.mark.parametrize("overridden", ["_check_input_dim", "train", "__call__"])
def test_a_subclass_is_left_whatever_it_does_by_itself(overridden: str, said) -> None:
    kind = type("Other", (nn.BatchNorm2d,), {overridden: getattr(nn.BatchNorm2d, overridden)})
    report = convert(nn.Sequential(kind(8)), "group")[1]
    assert f"Other is a subclass with its own {overridden}" in said(report)


def _with_own_forward() -> nn.Module:
    layer = nn.BatchNorm2d(8)
    layer.forward = lambda input: 2 * input
    return layer


@pytest.mark.parametrize("to", ["batch", "group"])
@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (_with_own_forward(), "its forward was replaced by another one"),
        (nn.LazyBatchNorm2d(), "it has not been initialised: call the model once"),
        (nn.utils.parametrizations.weight_norm(nn.BatchNorm2d(8), dim=0), "its weight or bias is not a parameter"),
        (type("Any", (nn.modules.batchnorm._BatchNorm,), {})(8), "Any may do anything in its forward"),
    ],
    ids=["forward", "lazy", "parametrized", "unknown"],
)  # fmt: skip
def test_what_can_not_be_told_is_left(layer: nn.Module, reason: str, to: str, said) -> None:
    model = nn.Sequential(layer)
    new, report = convert(model, to, inplace=True)
    assert reason in said(report)
    assert new[0] is layer


@pytest.mark.parametrize("to", ["torch", "group", "layer", "instance"])
@pytest.mark.parametrize("activation", ["relu", "silu", "leaky_relu"])
def test_an_activation_goes_along_with_the_same_keys(to: str, activation: str, trained, said) -> None:
    layer = trained(normwise.nn.BatchNorm2d(8, activation=activation))
    plain = trained(normwise.nn.BatchNorm2d(8))
    new, report = convert(nn.Sequential(layer), to, example=IMAGES)
    other, _ = convert(nn.Sequential(plain), to, example=IMAGES)
    expected = ACTIVATIONS[activation](other(IMAGES))
    torch.testing.assert_close(new(IMAGES), expected)
    assert list(new.state_dict()) == list(other.state_dict())
    assert f"it ends in its activation {activation!r} by a class of normwise" in said(report)
    assert f"activation={activation!r}" in repr(new)


@pytest.mark.parametrize("to", ["torch", "group", "layer", "instance"])
def test_a_residual_goes_along(to: str, trained) -> None:
    model = Residual(trained(normwise.nn.BatchNorm2d(8, activation="relu")))
    plain = nn.Sequential(trained(normwise.nn.BatchNorm2d(8)))
    new, _ = convert(model, to, example=IMAGES)
    other, _ = convert(plain, to, example=IMAGES)
    torch.testing.assert_close(new(IMAGES), torch.relu(other(IMAGES) + IMAGES))


def test_a_residual_without_an_activation_goes_along(trained, said) -> None:
    model = Residual(trained(normwise.nn.BatchNorm2d(8)))
    new, report = convert(model, "torch", example=IMAGES)
    torch.testing.assert_close(new.eval()(IMAGES), model.eval()(IMAGES))
    assert "it takes a residual" in said(report)


@pytest.mark.parametrize("to", ["torch", "group"])
def test_a_masked_layer_is_left(to: str, said) -> None:
    model = Residual(normwise.nn.BatchNorm2d(8), mask=torch.ones(6, 5, 5, dtype=torch.bool))
    new, report = convert(model, to, example=IMAGES)
    assert type(new.layer) is normwise.nn.BatchNorm2d
    assert said(report) == f"the example calls it with mask, which {to!r} has no place for"
    assert not convert(model, "frozen", example=IMAGES)[1].alters


@pytest.mark.parametrize(("to", "kind"), [("batch", normwise.nn.BatchNorm2d), ("torch", nn.BatchNorm2d)])
def test_constants_of_others_become_a_layer_that_learns(to: str, kind: type[nn.Module], said) -> None:
    model = nn.Sequential(FrozenBatchNorm2d(8, eps=0.1))
    new, report = convert(model, to, example=IMAGES)
    assert type(new[0]) is kind
    assert new[0].eps == 0.1
    assert not report.alters
    torch.testing.assert_close(new.eval()(IMAGES), model(IMAGES))
    assert list(new.state_dict()) == list(nn.Sequential(nn.BatchNorm2d(8)).state_dict())
    assert all(parameter.requires_grad for parameter in new.parameters())
    assert "parameters now, which no optimiser has yet" in said(report)


def test_constants_of_others_become_frozen_parameters_that_can_be_let_go() -> None:
    model = nn.Sequential(FrozenBatchNorm2d(8))
    new, _ = convert(model, "frozen", example=IMAGES)
    torch.testing.assert_close(new.train()(IMAGES), model(IMAGES))
    assert not any(parameter.requires_grad for parameter in new.parameters())
    normwise.unfreeze(new)
    assert all(parameter.requires_grad for parameter in new.parameters())


class OldFrozenBatchNorm2d(FrozenBatchNorm2d):
    """Constants whose ε is none of the layer's attributes, ``epsilon`` if any."""

    def __init__(self, channels: int, epsilon: float) -> None:
        super().__init__(channels)
        del self.eps
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        weight, bias, mean, var = (b[:, None, None] for b in self.buffers())
        return (x - mean) * (var + self.epsilon).rsqrt() * weight + bias


class ActivatedFrozenBatchNorm2d(FrozenBatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


class ReshapingFrozenBatchNorm2d(FrozenBatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).flatten(1)


# Without ε torch's own layers can't be evaluated before torch 2.13.
@pytest.mark.parametrize(("epsilon", "to"), [(1e-5, "torch"), (1e-5, "batch"), (0.0, "batch")])
def test_constants_without_an_epsilon_have_torchs_or_none(epsilon: float, to: str) -> None:
    layer = OldFrozenBatchNorm2d(8, epsilon)
    layer.get_buffer("running_var").fill_(1e-5)
    new = convert(layer, to, example=IMAGES)[0]
    assert new.eps == epsilon
    torch.testing.assert_close(new.eval()(IMAGES), layer(IMAGES), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("to", ["batch", "torch", "frozen", "group"])
@pytest.mark.parametrize("example", [None, IMAGES, torch.zeros_like(IMAGES)], ids=["no", "random", "zero"])
@pytest.mark.parametrize(
    "layer",
    [OldFrozenBatchNorm2d(8, 1e-3), ActivatedFrozenBatchNorm2d(8), ReshapingFrozenBatchNorm2d(8)],
    ids=lambda layer: type(layer).__name__,
)
def test_constants_that_compute_something_else_are_left(
    layer: nn.Module, example: Any, to: str, said
) -> None:
    with torch.no_grad():
        layer.get_buffer("running_var").fill_(1e-5)
    model = nn.Sequential(layer)
    expected = model(IMAGES)
    new, report = convert(model, to, example=example)
    assert "computes something else than batch normalization by its buffers" in said(report)
    assert not report.changes[0].changed
    assert torch.equal(new(IMAGES), expected)


def test_constants_that_can_not_be_tried_want_an_example(said) -> None:
    class FrozenBatchNorm(FrozenBatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            if x.shape[-1] != 5:
                raise ValueError("5 columns only")
            return super().forward(x)

    model = nn.Sequential(FrozenBatchNorm(8))
    assert "it can't be tried on random numbers (5 columns only); pass an example" in said(
        convert(model, "batch")[1]
    )
    new, report = convert(model, "batch", example=IMAGES)
    assert report.changes[0].changed
    torch.testing.assert_close(new.eval()(IMAGES), model(IMAGES))


def test_constants_with_more_in_them_are_left(said) -> None:
    model = nn.Sequential(FrozenBatchNorm2d(8))
    model[0].register_buffer("temperature", torch.ones(1))
    assert "it has temperature besides what BN has" in said(convert(model, "batch")[1])


@pytest.mark.parametrize(
    ("layer", "dims"),
    [(nn.GroupNorm(4, 8), dims) for dims in INPUTS] + [(nn.InstanceNorm2d(8, affine=True), 2)],
)
def test_other_norms_become_batch_norm_of_new_statistics(layer: nn.Module, dims: int, said) -> None:
    model = nn.Sequential(copy.deepcopy(layer)).double()
    new, report = convert(model, "batch", example=INPUTS[dims].double())
    assert type(new[0]) is OURS[dims]
    assert "its statistics are reset: run normwise.calibrate" in said(report)
    assert report.retrain
    assert all(buffer.dtype == torch.float64 for buffer in new[0].buffers() if buffer.is_floating_point())


def test_group_norm_without_an_example_is_left_for_want_of_its_dimensions(said) -> None:
    assert said(convert(nn.GroupNorm(4, 8), "torch")[1]).startswith(
        "nothing tells whether it is to be BatchNorm1d or BatchNorm2d or BatchNorm3d; pass an example"
    )


def test_other_norms_are_no_concern_of_other_norms() -> None:
    model = nn.Sequential(nn.GroupNorm(4, 8), nn.InstanceNorm2d(8), nn.BatchNorm2d(8), nn.LayerNorm(5))
    assert [change.path for change in convert(model, "layer", example=IMAGES)[1].changes] == ["2"]


def test_other_norms_can_not_be_frozen(said) -> None:
    assert said(convert(nn.GroupNorm(4, 8), "frozen")[1]) == "it has no statistics that could be fixed"
