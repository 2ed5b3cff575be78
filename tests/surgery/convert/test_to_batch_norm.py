"""BN by other settings, and with other statistics."""

from typing import Any

import pytest
import torch
from torch import nn

import normwise
from normwise.records import Conversion

IMAGES = 1 + 2 * torch.randn(6, 8, 5, 5, generator=torch.Generator().manual_seed(0))


class Tagged(nn.BatchNorm2d):
    """A subclass that computes what its parent does."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.tag = ["stem"]
        self.register_buffer("seen", torch.ones(1))

    def extra_repr(self) -> str:
        return "tagged"


def convert(model: nn.Module, to: str, **options: Any) -> tuple[Any, Conversion]:
    return normwise.convert(model, to, **options)


@pytest.mark.parametrize("to", ["batch", "torch", "frozen"])
@pytest.mark.parametrize("kind", [nn.BatchNorm2d, normwise.nn.BatchNorm2d, Tagged])
def test_settings_take_the_place_of_what_a_layer_had(kind: Any, to: str, trained, said) -> None:
    """https://github.com/pytorch/vision/issues/8250, https://github.com/gzuidhof/nn-transfer/pull/3"""
    model = nn.Sequential(trained(kind(8)))
    new, report = convert(model, to, eps=1e-3, momentum=0.01, example=IMAGES)
    assert (new[0].eps, new[0].momentum) == (1e-3, 0.01)
    assert (model[0].eps, model[0].momentum) == (1e-5, 0.1)
    assert report.alters
    assert not report.retrain
    assert "its eps is 0.001, and was 1e-05; its momentum is 0.01, and was 0.1" in said(report)
    mean, var = (model[0].get_buffer(name)[:, None, None] for name in ("running_mean", "running_var"))
    weight, bias = (model[0].get_parameter(name)[:, None, None] for name in ("weight", "bias"))
    torch.testing.assert_close(new.eval()(IMAGES), (IMAGES - mean) / (var + 1e-3).sqrt() * weight + bias)


def test_a_momentum_as_keras_counts_it_is_doubted(said) -> None:
    """https://github.com/kazuto1011/deeplab-pytorch/issues/79"""
    doubted, fine = (convert(nn.BatchNorm2d(8), "batch", momentum=momentum)[1] for momentum in (0.99, 0.01))
    assert "that is the weight of the new batch: Keras's 0.99 is 0.01 here" in said(doubted)
    assert "Keras" not in said(fine)


def test_another_momentum_changes_no_output(said) -> None:
    report = convert(nn.BatchNorm2d(8), "torch", momentum=None, example=IMAGES)[1]
    assert not report.alters
    assert "its momentum is None, and was 0.1" in said(report)


@pytest.mark.parametrize("to", ["batch", "torch"])
def test_statistics_that_were_not_kept_are_rebuilt(to: str, trained, said) -> None:
    """https://github.com/pytorch/pytorch/issues/156051"""
    model = nn.Sequential(trained(nn.BatchNorm2d(8, track_running_stats=False)).double())
    new, report = convert(model, to, track_running_stats=True, example=IMAGES.double())
    assert list(new.state_dict()) == list(nn.Sequential(nn.BatchNorm2d(8)).state_dict())
    assert new[0].running_var.dtype == torch.float64
    assert new[0].track_running_stats
    assert "its statistics are reset: run normwise.calibrate" in said(report)
    assert report.alters
    new.train()(IMAGES.double())
    assert new[0].num_batches_tracked == 1
    assert new.eval()(IMAGES.double()[:1]).isfinite().all()


def test_statistics_that_are_there_are_kept_when_tracking_is_switched_on(trained) -> None:
    """https://github.com/pytorch/pytorch/issues/37823"""
    model = nn.Sequential(trained(nn.BatchNorm2d(8)))
    vars(model[0])["track_running_stats"] = False
    plain, report = convert(model, "batch", example=IMAGES)
    assert not plain[0].track_running_stats
    assert not report.alters
    tracking, report = convert(model, "batch", track_running_stats=True, example=IMAGES)
    assert tracking[0].track_running_stats
    assert not report.alters
    torch.testing.assert_close(tracking.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_statistics_are_dropped_on_request(trained, said) -> None:
    model = nn.Sequential(trained(nn.BatchNorm2d(8)))
    new, report = convert(model, "torch", track_running_stats=False, example=IMAGES)
    assert list(new.state_dict()) == ["0.weight", "0.bias"]
    assert report.alters
    assert "its running statistics are dropped" in said(report)


def test_a_layer_without_statistics_can_not_be_frozen(said) -> None:
    report = convert(nn.BatchNorm2d(8, track_running_stats=False), "frozen")[1]
    assert "it keeps no running statistics (track_running_stats=False); give it some" in said(report)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_and_is_said(dtype: torch.dtype, trained, said) -> None:
    """https://github.com/pytorch/pytorch/issues/61924"""
    model = nn.Sequential(trained(nn.BatchNorm2d(8)).to(dtype))
    new, report = convert(model, "batch", example=IMAGES.to(dtype))
    assert new[0].running_var.dtype == dtype
    assert f"its statistics are in {dtype}, in which they hardly move" in said(report)
    mixed = convert(nn.Sequential(trained(nn.BatchNorm2d(8))), "batch", example=IMAGES)[1]
    assert "hardly move" not in said(mixed)
