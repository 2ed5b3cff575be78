"""Batches that are too small: one value a channel, a tiny last batch, noise."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import normwise
from normwise.doctor import Facts

_CODES = ["BN501", "BN502", "BN503"]


def _dense(momentum: float | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=momentum), nn.ReLU(), nn.Linear(8, 3))


def _found(model: nn.Module, data: Any, **options: Any) -> dict[str, str]:
    diagnosis = normwise.diagnose(model, data, select=_CODES, **options)
    return {finding.code: finding.severity for finding in diagnosis.findings}


def _loader(x: Tensor, size: int, shuffle: bool = False) -> DataLoader[Any]:
    return DataLoader(TensorDataset(x), size, shuffle=shuffle)


class _PooledBranch(nn.Module):
    """A branch over the whole image, as ASPP has: one value a channel and sample."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.pooled = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x + self.pooled(x)


def test_only_the_branch_that_pools_is_named() -> None:
    (finding,) = normwise.diagnose(_PooledBranch(), [torch.randn(1, 3, 8, 8)], select=["BN501"]).findings
    assert [symptom.path for symptom in finding.symptoms] == ["pooled.2"]
    assert "'pooled.2'" in finding.fix
    assert "most batches" in finding.message or "every batch" in finding.message


def test_a_last_sample_alone_is_an_error_of_a_dense_layer_and_a_tiny_batch_of_a_convolution() -> None:
    assert _found(_dense(), _loader(torch.randn(65, 4), 16, shuffle=True)) == {"BN501": "error"}
    conv = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    found = _found(conv, _loader(torch.randn(65, 3, 8, 8), 16, shuffle=True))
    assert found == {"BN502": "warning"}


def test_the_last_batch_is_known_though_it_is_not_read() -> None:
    loader = _loader(torch.randn(16 * 30 + 1, 4), 16, shuffle=True)
    assert _found(_dense(), loader, max_batches=2) == {"BN501": "error"}


@pytest.mark.parametrize("rest", [0, 4, 8])
def test_a_last_batch_of_a_quarter_or_more_is_fine(rest: int) -> None:
    assert _found(_dense(), _loader(torch.randn(64 + rest, 4), 16, shuffle=True)) == {}


def test_small_batches_of_an_evaluation_are_no_more_than_worth_knowing() -> None:
    data = _loader(torch.randn(66, 4), 16)
    assert _found(_dense().eval(), data) == {"BN502": "info"}
    assert set(_found(_dense().eval(), list(torch.randn(9, 4).split(1))).values()) <= {"info"}


def test_data_of_unknown_length_are_judged_by_what_was_read() -> None:
    stream = (torch.randn(16, 4) for _ in range(100))
    assert _found(_dense(), stream) == {}


@pytest.mark.parametrize("size", [16, 32])
def test_batches_of_16_are_enough(size: int) -> None:
    torch.manual_seed(0)
    for model, x in (
        (_dense(), torch.randn(10 * size, 4)),
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), torch.randn(10 * size, 3, 5, 5)),
    ):
        assert _found(model.train(), list(x.split(size))) == {}


@pytest.mark.parametrize("size", [2, 4])
def test_few_values_are_noise(size: int) -> None:
    torch.manual_seed(0)
    assert _found(_dense().train(), list(torch.randn(20 * size, 4).split(size))) == {"BN503": "warning"}


def test_positions_of_one_image_are_counted_by_how_alike_they_are() -> None:
    """Two images are few values where an image is of one colour, and many where it is noise."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)).train()
    plain = (torch.randn(40, 3, 1, 1) * torch.ones(1, 1, 8, 8)).split(2)
    assert _found(model, list(plain)) == {"BN503": "warning"}
    assert _found(model, list(torch.randn(40, 3, 8, 8).split(2))) == {}


def test_an_order_by_class_is_no_noise() -> None:
    torch.manual_seed(0)
    x = torch.randn(320, 4) + torch.arange(10).repeat_interleave(32)[:, None]
    moments = Facts.of_model(_dense(), list(x.split(32))).probe.moments["1"]
    assert moments.mean_noise.median() > 0.5
    assert moments.sample_noise.median() < 0.2


def test_frozen_layers_need_no_batch() -> None:
    model = _dense()
    normwise.freeze(model)
    assert _found(model, [torch.randn(1, 4)]) == {}
