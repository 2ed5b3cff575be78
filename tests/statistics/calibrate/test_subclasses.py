"""Of a subclass with a forward of its own, what it normalises is measured, and not what it was called with."""

# Subclasses name their arguments as they like, and torch's stubs don't know the buffers' types.
# pyright: reportIncompatibleMethodOverride=false, reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOptionalSubscript=false

import copy
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.nn import functional as F

import normwise
from normwise.errors import ModelError
from normwise.statistics import calibrate
from tests.statistics.calibrate.subclasses import Around, Transposed, channels_at_the_end


def _real(x: Tensor) -> Tensor:
    """(N, L): where the first channel is positive."""
    return x[..., 0] > 0


class Flattened(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(-1, x.shape[-1])).view(x.shape)


class Selected(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        y[_real(x)] = super().forward(x[_real(x)])
        return y


class InHalves(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        half = len(x) // 2
        first, second = x[:half].transpose(1, 2), x[half:].transpose(1, 2)
        return torch.cat([super().forward(first), super().forward(second)])


class ByFunction(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x.transpose(1, 2), self.running_mean, self.running_var, eps=self.eps)


class ByTorchFunction(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return torch.batch_norm(
            x.transpose(1, 2), None, None, self.running_mean, self.running_var,
            training=False, momentum=0.0, eps=self.eps, cudnn_enabled=False,
        )  # fmt: skip


class ByOperator(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        values = x.transpose(1, 2)
        return torch.ops.aten.native_batch_norm(
            values, None, None, self.running_mean, self.running_var, False, 0.0, self.eps
        )[0]


class Replacing(nn.BatchNorm1d):
    """Gives its buffers anew in each pass."""

    def forward(self, x: Tensor) -> Tensor:
        self.running_mean = self.running_mean + 0
        self.running_var = self.running_var * 1
        return super().forward(x.transpose(1, 2))


class Adapting(nn.BatchNorm1d):
    """Moves its running mean in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        values = x.transpose(1, 2)
        self.running_mean = 0.5 * self.get_buffer("running_mean") + 0.5 * values.mean((0, 2))
        return super().forward(values)


class Synchronised(nn.SyncBatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2))


class Ours(normwise.nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2))


class OursMasked(normwise.nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2), mask=_real(x))


class OursByFunction(normwise.nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return normwise.functional.batch_norm(
            x.transpose(1, 2), self.running_mean, self.running_var, mask=_real(x)
        )


class ByHand(nn.BatchNorm1d):
    """The channels are on axis 1, and evaluation calls no function that normalises."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        mean, deviation = self.running_mean, (self.running_var + self.eps).sqrt()
        return ((x - mean[:, None]) / deviation[:, None]).relu()


def _all(x: Tensor) -> Tensor:
    return x.flatten(0, 1)


def _where_real(x: Tensor) -> Tensor:
    return x[_real(x)]


def _first_axis(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(0, 1)


NORMALISED: list[tuple[type[nn.Module], Callable[[Tensor], Tensor]]] = [
    (Transposed, _all), (Flattened, _all), (Selected, _where_real), (InHalves, _all), (ByFunction, _all),
    (ByTorchFunction, _all), (ByOperator, _all), (Replacing, _all), (Adapting, _all), (Synchronised, _all),
    (Ours, _all), (OursMasked, _where_real), (OursByFunction, _where_real), (ByHand, _first_axis),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "normalised"), NORMALISED)
@pytest.mark.parametrize("order", ["evaluation", "training"])
@pytest.mark.parametrize("length", [4, 7])
def test_what_a_subclass_normalises_is_measured(
    kind: type[nn.Module], normalised: Callable[[Tensor], Tensor], order: Any, length: int
) -> None:
    # By hand the channels are on axis 1.
    x = channels_at_the_end(length).transpose(1, 2) if kind is ByHand else channels_at_the_end(length)
    model = nn.Sequential(kind(4)).double()
    buffers = [*model.buffers()]
    report = calibrate(model, x.double().split(7), order=order)
    values = normalised(x.double())
    assert report.layers[0].calibrated
    assert report.layers[0].count == len(values)
    torch.testing.assert_close(model[0].get_buffer("running_mean"), values.mean(0), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(model[0].get_buffer("running_var"), values.var(0), rtol=1e-9, atol=1e-9)
    assert all(a is b for a, b in zip(buffers, model.buffers(), strict=True))
    assert "forward" not in vars(model[0])


class MaskedByPosition(nn.BatchNorm1d):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = x.clone()
        y[mask] = super().forward(x[mask])
        return y


@pytest.mark.parametrize(
    ("bn", "call"),
    [
        (Transposed(4), lambda bn, x: bn(x=x)),
        (Transposed(4), lambda bn, x: bn.forward(x)),
        (Ours(4), lambda bn, x: bn(x=x)),
        (MaskedByPosition(4), lambda bn, x: bn(x, torch.ones(x.shape[:2], dtype=torch.bool))),
        (MaskedByPosition(4), lambda bn, x: bn(mask=torch.ones(x.shape[:2], dtype=torch.bool), x=x)),
    ],
    ids=["keyword", "forward itself", "keyword, ours", "mask by position", "mask by keyword"],
)
def test_however_it_is_called(bn: nn.Module, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
    model, x = Around(copy.deepcopy(bn), call), channels_at_the_end(6)
    calibrate(model, x.split(9))
    torch.testing.assert_close(model.bn.get_buffer("running_mean"), x.mean((0, 1)))


def test_layers_behind_a_subclass_see_it_normalise_by_its_new_statistics() -> None:
    model = nn.Sequential(Adapting(4), nn.Flatten(), nn.Linear(28, 3), nn.BatchNorm1d(3)).double()
    x = channels_at_the_end(7).double()
    calibrate(model, x.split(7))
    model.eval()
    values = F.batch_norm(x.transpose(1, 2), x.mean((0, 1)), x.flatten(0, 1).var(0), eps=1e-5)
    expected = model[2](values.flatten(1)).mean(0)
    torch.testing.assert_close(model[3].get_buffer("running_mean"), expected.detach(), rtol=1e-9, atol=1e-9)


class Nested(nn.BatchNorm1d):
    """Has a BN layer within its forward pass."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.inner = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(3 * super().forward(x.transpose(1, 2)) + 1)


def test_a_layer_within_a_layer_has_its_own() -> None:
    model, x = nn.Sequential(Nested(4)).double(), channels_at_the_end(7).double()
    calibrate(model, x.split(7))
    torch.testing.assert_close(model[0].get_buffer("running_mean"), x.mean((0, 1)), rtol=1e-9, atol=1e-9)
    inner = model[0].get_submodule("inner").get_buffer("running_mean")
    torch.testing.assert_close(inner, torch.ones(4).double(), rtol=0, atol=1e-9)


def test_an_exception_takes_the_observation_away() -> None:
    model = nn.Sequential(Transposed(4), nn.Linear(9, 2))
    with pytest.raises(ModelError, match="the model fails on batch 0"):
        calibrate(model, channels_at_the_end())
    assert "forward" not in vars(model[0])
    assert torch._C._len_torch_function_stack() == 0


def test_a_forward_that_was_given_to_the_layer_is_still_there() -> None:
    layer = nn.BatchNorm1d(4)
    plain = layer.forward

    def forward(x: Tensor) -> Tensor:
        return plain(x.transpose(1, 2))

    layer.forward = forward  # pyright: ignore[reportAttributeAccessIssue]
    calibrate(nn.Sequential(layer), channels_at_the_end(6))
    assert layer.forward is forward
    torch.testing.assert_close(layer.running_mean, channels_at_the_end(6).mean((0, 1)))


def test_a_copy_that_is_made_meanwhile_is_not_observed() -> None:
    model, copies = nn.Sequential(Transposed(4)), []
    calibrate(model, channels_at_the_end(6), progress=lambda *_: copies.append(copy.deepcopy(model)))
    with torch.no_grad():
        copies[0][0].weight.fill_(7)
        assert copies[0].eval()(channels_at_the_end(6)).abs().max() > 5
    assert model[0].get_parameter("weight").max() == 1


@settings(max_examples=40, deadline=None)
@given(
    axis=st.integers(1, 3),
    sizes=st.lists(st.integers(1, 4), min_size=3, max_size=3),
    cut=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_any_axis_may_be_the_channels(axis: int, sizes: list[int], cut: list[int], seed: int) -> None:
    class Moved(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.movedim(axis, 1)).movedim(1, axis)

    torch.manual_seed(seed)
    x = 100 * torch.randn(1, *sizes).double() + torch.randn(sum(cut) + 1, *sizes).double()
    layer = Moved(sizes[axis - 1]).double()
    calibrate(layer, x.split([*cut, 1]))
    values = x.movedim(axis, -1).flatten(0, -2)
    torch.testing.assert_close(layer.running_mean, values.mean(0), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(layer.running_var, values.var(0), rtol=1e-9, atol=1e-9)


class FrozenBatchNorm2d(nn.Module):
    """As vision libraries write it, by hand; some without an epsilon, some with an activation behind."""

    def __init__(self, channels: int, eps: float, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.small, self.activation = eps, activation
        for name, value in (("weight", 2.0), ("bias", 0.5), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, x: Tensor) -> Tensor:
        weight, bias, mean, variance = (buffer.view(1, -1, 1, 1) for buffer in self.buffers())
        scale = weight * (variance + self.small).rsqrt()
        return self.activation(x * scale + (bias - mean * scale))


@pytest.mark.parametrize("eps", [0.0, 1e-5, 1e-3])
@pytest.mark.parametrize("activation", [torch.relu, torch.tanh, lambda x: x], ids=["relu", "tanh", "none"])
def test_frozen_layers_of_others_that_normalise_by_hand(
    eps: float, activation: Callable[[Tensor], Tensor]
) -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 1), FrozenBatchNorm2d(4, eps, activation), nn.BatchNorm2d(4))
    x = 5 + 3 * torch.randn(12, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    report = calibrate(model, x.split(5), include_frozen=True)
    assert [layer.calibrated for layer in report.layers] == [True, True]
    values = model[0](x).detach()
    torch.testing.assert_close(model[1].get_buffer("running_mean"), values.mean((0, 2, 3)))
    torch.testing.assert_close(model[1].get_buffer("running_var"), values.var((0, 2, 3)))
    behind = model[1](values)
    torch.testing.assert_close(
        model[2].get_buffer("running_mean"), behind.mean((0, 2, 3)), rtol=1e-4, atol=1e-5
    )
    with normwise.watch(model, every=1) as recording:
        model.train()(x)
    recorded = recording.points[0].layers["1"].batch_mean.greatest
    assert recorded == pytest.approx(values.mean((0, 2, 3)).max().item(), rel=1e-4)
