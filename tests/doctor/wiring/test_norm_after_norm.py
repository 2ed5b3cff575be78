"""BN103: BN straight behind BN."""

import pytest
import torch
from torch import Tensor, nn

import normwise


def _diagnose(model: nn.Module, x: Tensor) -> list[tuple[str, str]]:
    findings = normwise.diagnose(model, [x], select=["BN103"]).findings
    return [(finding.severity, symptom.path) for finding in findings for symptom in finding.symptoms]


class _Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.norm = nn.BatchNorm1d(4), nn.BatchNorm1d(4), nn.BatchNorm1d(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(torch.cat((self.one(x), self.other(x.relu())), 1))


def test_a_norm_behind_a_norm_is_found_past_what_moves_values() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(2), nn.Identity(), nn.BatchNorm1d(8)
    )
    assert _diagnose(model, torch.randn(4, 3, 6, 6)) == [("warning", "4")]


def test_a_norm_of_other_channels_is_a_note() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.BatchNorm1d(12))
    assert _diagnose(model, torch.randn(4, 3, 2, 2)) == [("info", "2")]


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.BatchNorm1d(4), nn.ReLU(), nn.BatchNorm1d(4)),
        nn.Sequential(normwise.nn.BatchNorm1d(4, activation="relu"), nn.BatchNorm1d(4)),
        nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4)),
        nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.BatchNorm1d(4)),
        _Branches(),
    ],
)
def test_whatever_computes_between_makes_a_difference(model: nn.Module) -> None:
    assert _diagnose(model, torch.randn(16, 4)) == []
