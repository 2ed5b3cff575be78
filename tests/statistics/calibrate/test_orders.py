"""Inputs that statistics are computed from: as in training or evaluation, with or without variance between batches."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise
from normwise.errors import ArgumentError
from normwise.records import Calibration, from_plain, to_plain
from normwise.statistics import calibrate

Statistics = list[tuple[Tensor, Tensor]]


def _layers(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [layer for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]


def _statistics(model: nn.Module) -> Statistics:
    return [(layer.get_buffer("running_mean").double(), layer.get_buffer("running_var").double())
            for layer in _layers(model)]  # fmt: skip


def _by_batch(model: nn.Sequential, batches: list[Tensor], variance: str) -> Statistics:
    """By the definition, in float64: each batch goes through by itself, and inputs of each layer are kept."""
    kept: list[list[Tensor]] = [[] for _ in _layers(model)]
    for batch in batches:
        x, at = batch.double(), 0
        for layer in copy.deepcopy(model).double().eval():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                kept[at].append(x.movedim(1, 0).flatten(1))
                x = F.batch_norm(x, None, None, layer.weight, layer.bias, training=True, eps=layer.eps)
                at += 1
            else:
                x = layer(x)
    if variance == "population":
        return [(torch.cat(seen, 1).mean(1), torch.cat(seen, 1).var(1)) for seen in kept]
    pooled = [
        sum(x.var(1) * (x.shape[1] - 1) for x in seen) / sum(x.shape[1] - 1 for x in seen) for seen in kept
    ]
    return [(torch.cat(seen, 1).mean(1), torch.as_tensor(v)) for seen, v in zip(kept, pooled, strict=True)]


@pytest.mark.parametrize("variance", ["population", "batch"])
@pytest.mark.parametrize("sizes", [[23], [10, 13], [5, 1, 17]], ids=str)
@torch.no_grad()
def test_as_training_shows_inputs(deep: nn.Sequential, images: Tensor, sizes: list[int], variance) -> None:
    batches = list(images.split(sizes))
    expected = _by_batch(deep, batches, variance)
    calibrate(deep, batches, order="training", variance=variance)
    torch.testing.assert_close(_statistics(deep), expected, rtol=1e-11, atol=1e-12)


@torch.no_grad()
def test_the_batches_variance_leaves_out_what_their_means_differ_by() -> None:
    layer = nn.BatchNorm1d(1).double()
    batches = [torch.tensor([[0.0], [2.0]]).double(), torch.tensor([[99.0], [100.0], [101.0]]).double()]
    calibrate(layer, batches, variance="batch")
    # (2 + 2) / (1 + 2): the batches' own variances are 2 and 1.
    assert layer.get_buffer("running_var").item() == pytest.approx(4 / 3, rel=1e-12)
    calibrate(layer, batches)
    assert layer.get_buffer("running_var").item() == pytest.approx(torch.cat(batches).var().item(), rel=1e-12)


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, normwise.nn.BatchNorm1d])
@pytest.mark.parametrize("order", ["evaluation", "training"])
@torch.no_grad()
def test_float32_is_exact_far_from_zero_sorted_by_class_and_with_a_last_batch_of_one(
    kind: type[nn.Module], order
) -> None:
    torch.manual_seed(0)
    layer, offsets = kind(3), torch.arange(5.0).repeat_interleave(13)
    data = 1e4 + 3 * offsets[:, None] + torch.randn(65, 3)
    batches = [*data.split(16)]
    assert len(batches[-1]) == 1
    calibrate(layer, batches, order=order)
    mean, variance = _statistics(layer)[0]
    torch.testing.assert_close(mean, data.double().mean(0), rtol=1e-6, atol=0)
    torch.testing.assert_close(variance, data.double().var(0), rtol=1e-6, atol=0)


@torch.no_grad()
def test_the_first_batch_may_have_one_value_a_channel_as_training_shows_it() -> None:
    model, data = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2), nn.BatchNorm1d(2)), torch.randn(9, 2)
    calibrate(model, [data[:1], data[1:]], order="training")
    assert all(torch.isfinite(value).all() for pair in _statistics(model) for value in pair)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear(torch.relu(self.norm(x)))


@torch.no_grad()
def test_evaluation_is_exact_whatever_the_depth() -> None:
    torch.manual_seed(0)
    model, data = nn.Sequential(*[_Residual(6) for _ in range(12)]).double(), torch.randn(40, 6).double()
    for layer in _layers(model):
        nn.init.uniform_(layer.weight, 0.5, 3)
    report = calibrate(model, [data[:7], data[7:8], data[8:]])
    x = data
    for block in model.eval():
        assert isinstance(block, _Residual)
        torch.testing.assert_close(block.norm.running_mean, x.mean(0), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(block.norm.running_var, x.var(0), rtol=1e-10, atol=1e-10)
        x = block(x)
    assert (report.passes, report.batches, report.residual) == (12, 3, 0.0)


class _Recurrent(nn.Module):
    """Its BN's statistics depend on themselves: it normalises what it has normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = x + torch.tanh(self.linear(self.norm(x)))
        return x


@torch.no_grad()
def test_statistics_that_depend_on_themselves_settle_where_evaluation_gives_them_again() -> None:
    torch.manual_seed(0)
    model, data = _Recurrent().double(), torch.randn(200, 4).double()
    report = calibrate(model, data.split(64))
    seen: list[Tensor] = []
    model.eval().norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(data)
    torch.testing.assert_close(model.norm.running_mean, torch.cat(seen).mean(0), rtol=0, atol=1e-5)
    assert 0 < report.residual < 1e-5
    assert f"another would still move statistics by {report.residual:.1e} σ" in str(report)


@pytest.mark.parametrize("order", ["evaluation", "training"])
def test_only_so_many_batches_are_taken(deep: nn.Sequential, images: Tensor, order) -> None:
    other = copy.deepcopy(deep)
    report = calibrate(deep, images.split(5), order=order, max_batches=2)
    calibrate(other, images[:10].split(5), order=order)
    torch.testing.assert_close(_statistics(deep), _statistics(other), rtol=0, atol=0)
    assert report.batches == 2


def test_one_pass_takes_what_can_be_read_once(deep: nn.Sequential, images: Tensor) -> None:
    other = copy.deepcopy(deep)
    calibrate(deep, iter(images.split(5)), order="training")
    calibrate(other, images.split(5), order="training")
    torch.testing.assert_close(_statistics(deep), _statistics(other), rtol=0, atol=0)


@pytest.mark.parametrize(
    "batch_of",
    [
        lambda x: x,
        lambda x: (x, torch.zeros(len(x), dtype=torch.long)),
        lambda x: [x, torch.zeros(len(x), dtype=torch.long)],
        lambda x: {"input": x},
    ],
    ids=["tensor", "tuple", "list", "dict"],
)
@pytest.mark.parametrize("one", [True, False], ids=["one batch", "batches"])
def test_batches_may_be_what_loaders_give(
    images: Tensor, batch_of: Callable[[Tensor], object], one: bool
) -> None:
    layer, other = nn.BatchNorm2d(2).double(), nn.BatchNorm2d(2).double()
    data = batch_of(images) if one else [batch_of(part) for part in images.split(10)]
    calibrate(layer, data)  # pyright: ignore[reportArgumentType] (what the checker can't tell)
    calibrate(other, images.split(10))
    torch.testing.assert_close(_statistics(layer), _statistics(other), rtol=1e-12, atol=1e-12)


def test_progress_is_told_after_each_batch(deep: nn.Sequential, images: Tensor) -> None:
    told: list[tuple[int, int | None, str]] = []
    calibrate(deep, images.split(12), progress=lambda *what: told.append(what))
    assert told == [(1, 2, "pass 1"), (2, 2, "pass 1"), (1, 2, "pass 2 of 2"), (2, 2, "pass 2 of 2")]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"order": "random"}, "unknown order 'random'; known are 'evaluation', 'training'"),
        ({"variance": "biased"}, "unknown variance 'biased'; known are 'population', 'batch'"),
        ({"order": ["evaluation"]}, r"unknown order \['evaluation'\]"),
        ({"max_batches": 0}, "max_batches must be a whole number, at least 1, got 0"),
        ({"max_batches": -3}, "max_batches must be a whole number, at least 1, got -3"),
        ({"max_batches": 2.5}, "max_batches must be a whole number, at least 1, got 2.5"),
        ({"max_batches": True}, "max_batches must be a whole number, at least 1, got True"),
        ({"max_batches": "2"}, "max_batches must be a whole number, at least 1, got '2'"),
    ],
)
def test_wrong_arguments_are_refused(images: Tensor, arguments: dict[str, object], text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        calibrate(nn.BatchNorm2d(2), images, **arguments)  # pyright: ignore[reportArgumentType]


def test_data_that_are_none_are_refused() -> None:
    with pytest.raises(ArgumentError, match="expected batches as data, got int"):
        calibrate(nn.BatchNorm1d(2), 3)  # pyright: ignore[reportArgumentType]


@torch.no_grad()
def test_the_report_says_how_far_off_the_statistics_were() -> None:
    layer = nn.BatchNorm1d(2, eps=1e-12).double()
    layer.get_buffer("running_mean").copy_(torch.tensor([0.0, 7.0]))
    layer.get_buffer("running_var").copy_(torch.tensor([2.0, 8.0]))
    data = torch.tensor([[-1.0, 2.0], [1.0, 4.0], [-1.0, 0.0], [1.0, 2.0]]).double()
    model = nn.Sequential(layer, nn.Identity(), nn.BatchNorm1d(2, track_running_stats=False)).double()
    report = calibrate(model, data)
    found, untracked = report.layers
    variances = data.var(0)
    assert (found.path, found.kind, found.calibrated, found.count) == ("0", "BatchNorm1d", True, 4)
    assert found.mean_shift == pytest.approx((5 / variances[1].sqrt()).item())
    assert found.typical_mean_shift == pytest.approx(0)
    ratios = torch.tensor([2.0, 8.0]).double() / variances
    assert found.variance_ratio_low == pytest.approx(ratios.min().item())
    assert found.variance_ratio_high == pytest.approx(ratios.max().item())
    assert untracked.reason == "it keeps no running statistics (track_running_stats=False)"
    # (x - 7) / √8 for (x - 2) / √(8/3) in one channel, x / √2 for x / √(4/3) in the other.
    ratio = torch.tensor([2.0, 8.0]) / variances
    errors = torch.tensor([0, 5.0]).square() / torch.tensor([2.0, 8.0]) + (ratio.rsqrt() - 1).square()
    assert found.error == pytest.approx(errors.mean().sqrt().item(), rel=1e-6)
    assert from_plain(Calibration, to_plain(report)).layers[0] == found
