"""Calibration of layers that are shared, skipped, masked, of other shapes or of other precision."""

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.errors import ModelError
from normwise.statistics import calibrate

BOTH_1D = pytest.mark.parametrize(
    "kind", [nn.BatchNorm1d, normwise.nn.BatchNorm1d], ids=["torch", "normwise"]
)


def _assert_statistics(layer: nn.Module, values: Tensor, rtol: float = 1e-6) -> None:
    """That the layer has those of ``(N, C)`` values."""
    values = values.double()
    for name, expected in (("running_mean", values.mean(0)), ("running_var", values.var(0))):
        torch.testing.assert_close(layer.get_buffer(name).double(), expected, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("first", [0, 3])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (nn.BatchNorm1d, (9, 3)),
        (nn.BatchNorm1d, (9, 3, 5)),
        (nn.BatchNorm2d, (9, 3, 4, 5)),
        (nn.BatchNorm3d, (9, 3, 2, 3, 4)),
        (nn.SyncBatchNorm, (9, 3, 4)),
        (normwise.nn.BatchNorm1d, (9, 3)),
        (normwise.nn.BatchNorm1d, (9, 3, 5)),
        (normwise.nn.BatchNorm2d, (9, 3, 4, 5)),
        (normwise.nn.BatchNorm3d, (9, 3, 2, 3, 4)),
    ],
)
def test_every_kind_of_layer(kind: type[nn.Module], shape: tuple[int, ...], first: int) -> None:
    layer, x = kind(3), 3 + torch.randn(shape)
    calibrate(layer, x.split([first, 9 - first]))
    _assert_statistics(layer, x.movedim(1, -1).flatten(0, -2))


class _Shared(nn.Module):
    """One BN behind two layers."""

    def __init__(self, bn: nn.Module) -> None:
        super().__init__()
        self.left, self.right, self.bn = nn.Linear(2, 3), nn.Linear(2, 3), bn

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.left(x)) + self.bn(self.right(x))


@BOTH_1D
@torch.no_grad()
def test_a_layer_used_twice_in_a_pass_has_the_statistics_of_both_uses(kind: type[nn.Module]) -> None:
    model, x = _Shared(kind(3)), torch.randn(20, 2)
    calibrate(model, x.split(7))
    _assert_statistics(model.bn, torch.cat([model.left(x), model.right(x)]))


class _Branching(nn.Module):
    """Runs its layers in another order than it has them, and one never, and one only for large inputs."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.second, self.never, self.first, self.seldom = kind(2), kind(2), kind(2), kind(2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.first(x).relu())
        return self.seldom(y) if x.max() > 50 else y


@BOTH_1D
@torch.no_grad()
def test_layers_are_calibrated_in_the_order_in_which_they_run(kind: type[nn.Module]) -> None:
    model, x = _Branching(kind), 5 + torch.randn(20, 2)
    calibrate(model, x.split(6))
    _assert_statistics(model.first, x)
    _assert_statistics(model.second, model.eval().first(x).relu())


@BOTH_1D
def test_a_layer_that_is_never_reached_keeps_its_statistics(kind: type[nn.Module]) -> None:
    model = _Branching(kind)
    model.never.get_buffer("running_mean").fill_(3)
    model.never.get_buffer("running_var").fill_(7)
    calibrate(model, [torch.randn(8, 2)])
    assert model.never.get_buffer("running_mean").tolist() == [3, 3]
    assert model.never.get_buffer("running_var").tolist() == [7, 7]


@BOTH_1D
@torch.no_grad()
def test_a_layer_that_only_a_later_batch_reaches_has_that_batchs_statistics(kind: type[nn.Module]) -> None:
    model = _Branching(kind)
    small, large = torch.randn(8, 2), 100 + torch.randn(8, 2)
    calibrate(model, [small, large])
    reaches = model.eval().second(model.first(large).relu())
    _assert_statistics(model.seldom, reaches, rtol=1e-5)


@BOTH_1D
def test_a_layer_that_sees_one_value_a_channel_keeps_its_statistics(kind: type[nn.Module]) -> None:
    layer = kind(2)
    with pytest.raises(
        ModelError, match=r"none of 1 BN layers .* '': it sees fewer than two values a channel"
    ):
        calibrate(layer, [torch.full((1, 2), 9.0)])
    assert layer.get_buffer("running_mean").tolist() == [0, 0]
    assert layer.get_buffer("running_var").tolist() == [1, 1]


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, normwise.nn.BatchNorm1d])
def test_a_layer_without_statistics_gets_none(kind: type[nn.BatchNorm1d]) -> None:
    layers = nn.Sequential(kind(2, track_running_stats=False), kind(2))
    x = 5 + torch.randn(8, 2)
    calibrate(layers, [x])
    assert layers[0].running_mean is None
    _assert_statistics(layers[1], layers[0](x).detach())


class _Masked(nn.Module):
    """Positions of −1 are padding."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = normwise.nn.BatchNorm1d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(x, mask=(x != -1).all(1))


def test_masked_positions_are_left_out() -> None:
    model, x = _Masked(), 3 + torch.rand(6, 2, 5)
    real = torch.rand(6, 5) < 0.6
    real[2] = False  # a sample of padding alone
    calibrate(model, x.where(real[:, None], -1).split([2, 1, 3]))
    _assert_statistics(model.bn, x.movedim(1, -1)[real])


class _Keyword(nn.Module):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.bn = kind(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(input=x)


@BOTH_1D
def test_the_input_may_be_a_keyword(kind: type[nn.Module]) -> None:
    model, x = _Keyword(kind), 3 + torch.rand(6, 2)
    calibrate(model, [x])
    _assert_statistics(model.bn, x)


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float16, 1e-3), (torch.bfloat16, 8e-3)])
@pytest.mark.parametrize("kind", [nn.BatchNorm2d, normwise.nn.BatchNorm2d], ids=["torch", "normwise"])
def test_half_precision(kind: type[nn.Module], dtype: torch.dtype, rtol: float) -> None:
    # 256 images of 16×16 are more values than float16 can count.
    model, x = kind(3).to(dtype), (100 + 10 * torch.randn(256, 3, 16, 16)).to(dtype)
    calibrate(model, x.split(100))
    assert model.get_buffer("running_mean").dtype == dtype
    _assert_statistics(model, x.movedim(1, -1).flatten(0, -2), rtol=rtol)


@BOTH_1D
def test_data_far_from_zero_keep_their_variance(kind: type[nn.Module]) -> None:
    layer, x = kind(2).double(), 1e6 + torch.randn(100, 2, dtype=torch.float64)
    calibrate(layer, x.split(7))
    _assert_statistics(layer, x, rtol=1e-9)
