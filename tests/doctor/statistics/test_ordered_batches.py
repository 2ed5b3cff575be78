"""BN206: batches that belong together."""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import normwise

Batches = list[tuple[Tensor, Tensor]]


def _sorted(images: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    x, y = images
    order = y.argsort(stable=True)
    return x[order], y[order]


def _codes(model: nn.Module, data) -> list[str]:
    return [finding.code for finding in normwise.diagnose(model, data, select=["BN2"]).findings]


def test_sorted_classes_are_found(trained: nn.Module, images: tuple[Tensor, Tensor]) -> None:
    x, y = _sorted(images)
    assert _codes(trained, list(zip(x.split(32), y.split(32), strict=True))) == ["BN206"]


def test_a_single_class_of_many_is_found(trained: nn.Module, images: tuple[Tensor, Tensor]) -> None:
    loader = DataLoader(TensorDataset(*_sorted(images)), batch_size=32)
    diagnosis = normwise.diagnose(trained, loader, max_batches=3, select=["BN206"])
    assert "The loader does not shuffle." in diagnosis.findings[0].message


def test_sorted_samples_without_labels_are_found(trained: nn.Module, images: tuple[Tensor, Tensor]) -> None:
    x, _ = _sorted(images)
    assert _codes(trained, list(x.split(64))) == ["BN206"]


def test_a_random_order_is_no_finding(trained: nn.Module, images: tuple[Tensor, Tensor]) -> None:
    x, y = images
    assert _codes(trained, list(x.split(64))) == []
    assert _codes(trained, list(zip(x.split(8), y.split(8), strict=True))[:20]) == []


def test_rare_classes_are_no_order(trained: nn.Module, images: tuple[Tensor, Tensor]) -> None:
    x, y = images
    rare = (y == 3).long()
    assert _codes(trained, list(zip(x.split(8), rare.split(8), strict=True))[:20]) == []


def test_one_class_is_no_order_where_there_are_no_more() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=None), nn.Linear(8, 2))
    x = torch.randn(64, 4)
    model(x)
    assert _codes(model.eval(), [(part, torch.zeros(32, dtype=torch.long)) for part in x.split(32)]) == []
