"""Record of one layer, compared with the equations in float64."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.records import LayerPoint, OverChannels
from normwise.statistics.watch.layer_summary import PERCENTILES, layer_summary


def _point(
    layer: nn.Module, x: Tensor, mask: Tensor | None = None, units: tuple[int, ...] = ()
) -> LayerPoint:
    point = layer_summary(layer, x, mask, units)
    assert point is not None
    return point


def _said(got: OverChannels | None, values: Tensor) -> None:
    """The summary is that of the values, to its six digits."""
    assert got is not None
    v = values.detach().double().numpy()
    wanted = (v.min(), np.sort(v)[(len(v) - 1) // 2], v.max(), math.sqrt((v**2).mean()))
    assert (got.least, got.median, got.greatest, got.rms) == pytest.approx(wanted, rel=6e-6)
    assert got.largest == pytest.approx(np.abs(v).max(), rel=6e-6)


@pytest.fixture(params=[nn.BatchNorm2d, normwise.nn.BatchNorm2d], ids=["torch", "normwise"])
def layer(request: pytest.FixtureRequest) -> nn.modules.batchnorm._BatchNorm:
    torch.manual_seed(0)
    layer = request.param(4, eps=0.01).double()
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.5, 2)
    return layer


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(1)
    return 2 + 3 * torch.randn(6, 4, 3, 5, dtype=torch.float64)


def test_the_batch_the_running_statistics_and_their_distance(
    layer: nn.modules.batchnorm._BatchNorm, x: Tensor
) -> None:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    point = _point(layer, x)
    values = x.transpose(0, 1).flatten(1)
    mean, var, running = values.mean(1), values.var(1), layer.running_var + 0.01
    assert (point.calls, point.by_batch, point.samples, point.values) == (1, True, 6, 90)
    _said(point.batch_mean, mean)
    _said(point.batch_var, var)
    _said(point.running_mean, layer.running_mean)
    _said(point.running_var, layer.running_var)
    _said(point.shift, (mean - layer.running_mean) / running.sqrt())
    _said(point.log_ratio, ((var + 0.01) / running).log())
    _said(point.weight, layer.weight)
    _said(point.bias, layer.bias)


def test_noise_is_in_units_of_the_batch(layer: nn.Module, x: Tensor) -> None:
    point = _point(layer, x)
    variance = x.transpose(0, 1).flatten(1).var(1, correction=0) + 0.01
    _said(point.noise_mean, x.mean((2, 3)).std(0) / math.sqrt(6) / variance.sqrt())


def test_nothing_moves(layer: nn.Module, x: Tensor) -> None:
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    kept, state = x.clone(), torch.get_rng_state()
    _point(layer, x.requires_grad_(), units=(0, 1))
    assert torch.equal(x, kept)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_percentiles_of_what_goes_in_and_of_what_comes_out(layer: nn.Module, x: Tensor) -> None:
    point = _point(layer, x, units=(3, 1))
    assert [unit.channel for unit in point.units] == [3, 1]
    for unit in point.units:
        for got, values in ((unit.input, x), (unit.output, layer(x))):
            wanted = np.percentile(values[:, unit.channel].detach().numpy(), PERCENTILES)
            assert got == pytest.approx(tuple(wanted), rel=1e-5)


def test_percentiles_of_few_values_are_exact() -> None:
    x = torch.tensor([[10.0], [0.0], [20.0]])
    # At 0.15, 0.5 and 0.85 of the way through the sorted values, by linear interpolation.
    (unit,) = _point(nn.BatchNorm1d(1), x, units=(0,)).units
    assert unit.input == (3.0, 10.0, 17.0)
    assert unit.output == pytest.approx((-0.857321, 0, 0.857321), rel=1e-5)


def test_evaluation_normalises_by_the_running_statistics(layer: nn.Module, x: Tensor) -> None:
    layer.eval()
    point = _point(layer, x, units=(2,))
    assert not point.by_batch
    wanted = np.percentile(layer(x)[:, 2].detach().numpy(), PERCENTILES)
    assert point.units[0].output == pytest.approx(tuple(wanted), rel=1e-5)
    _said(point.batch_mean, x.mean((0, 2, 3)))  # nevertheless


def test_only_real_positions_count(x: Tensor) -> None:
    layer = normwise.nn.BatchNorm2d(4).double()
    mask = torch.rand(6, 3, 5) < 0.6
    point = _point(layer, x.masked_fill(~mask[:, None], math.nan), mask, units=(1,))
    values = x.movedim(1, -1)[mask]
    assert point.values == int(mask.sum())
    _said(point.batch_mean, values.mean(0))
    _said(point.batch_var, values.var(0))
    assert point.units[0].input == pytest.approx(
        tuple(np.percentile(values[:, 1].numpy(), PERCENTILES)), rel=1e-5
    )


def test_without_affine_and_running_statistics(x: Tensor) -> None:
    layer = nn.BatchNorm2d(4, affine=False, track_running_stats=False).eval()
    point = _point(layer, x, units=(0,))
    assert (point.weight, point.bias, point.running_mean, point.shift, point.log_ratio) == (None,) * 5
    assert point.by_batch  # torch takes the batch's, since there are no others
    assert point.units[0].output == pytest.approx(
        tuple(np.percentile(layer(x)[:, 0].numpy(), PERCENTILES)), rel=1e-5
    )


def test_a_dead_channel_is_finite() -> None:
    point = _point(nn.BatchNorm1d(2), torch.ones(4, 2))
    assert point.noise_mean.largest == point.noise_var.largest == 0
    assert point.log_ratio is not None
    assert point.log_ratio.rms == pytest.approx(math.log(1.00001 / 0.00001), rel=1e-5)


def test_one_value_has_no_variance_and_a_shift() -> None:
    point = _point(nn.BatchNorm1d(2).eval(), torch.ones(1, 2))
    assert math.isnan(point.batch_var.rms)
    assert point.shift is not None
    assert point.shift.rms == pytest.approx(1, rel=1e-4)


def test_a_frozen_layer_of_others() -> None:
    class FrozenBatchNorm2d(nn.Module):  # as torchvision has it
        def __init__(self) -> None:
            super().__init__()
            for name, value in {"weight": 2.0, "bias": 1.0, "running_mean": 3.0, "running_var": 4.0}.items():
                self.register_buffer(name, torch.full((2,), value))
            self.eps = 0.0

    point = _point(FrozenBatchNorm2d(), torch.full((3, 2, 2, 2), 5.0), units=(0,))
    assert not point.by_batch
    assert point.units[0].output == (3.0, 3.0, 3.0)
    assert point.shift is not None
    assert point.shift.median == 1


def test_a_new_layer_knows_that_it_has_learnt_nothing(x: Tensor) -> None:
    layer = nn.BatchNorm2d(4).double()
    assert _point(layer, x).untaught
    layer(x)
    assert not _point(layer, x).untaught
    assert not _point(nn.BatchNorm2d(4, track_running_stats=False), x).untaught


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_double(dtype: torch.dtype) -> None:
    x = (1000 + torch.randn(64, 2, 8)).to(dtype)
    _said(_point(nn.BatchNorm1d(2).to(dtype), x).batch_mean, x.double().mean((0, 2)))


def test_an_empty_batch_is_no_point() -> None:
    assert layer_summary(nn.BatchNorm1d(2), torch.empty(0, 2), None, ()) is None
