"""BN102: predictions that a BN layer makes, and features that it may."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise

_X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
_CLASSES = torch.arange(60) % 3
_END = (nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3))


class _WithFeatures(nn.Module):
    """A classifier that returns its scores, and features that end in BN."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.body(x)
        return {"features": features, "logits": self.head(features)}


def _found(model: nn.Module, target: Any = None, loss: Any = None) -> list[str]:
    data = [_X if target is None else (_X, target)]
    return [finding.code for finding in normwise.diagnose(model, data, loss=loss, select=["BN102"]).findings]


@pytest.mark.parametrize(
    ("model", "target", "loss"),
    [
        (nn.Sequential(*_END), _CLASSES, None),
        (nn.Sequential(*_END), _CLASSES.clamp(max=1), F.cross_entropy),
        (nn.Sequential(*_END, nn.Softmax(1)), None, None),
        (nn.Sequential(*_END, nn.LogSoftmax(1)), _CLASSES, nn.NLLLoss()),
        (nn.Sequential(*_END), torch.randn(60, 3), nn.MSELoss()),
        (nn.Sequential(nn.Linear(4, 1), nn.BatchNorm1d(1)), torch.randn(60), None),
        (nn.Sequential(*_END, nn.Unflatten(1, (3, 1)), nn.Flatten()), _CLASSES, None),
    ],
)  # fmt: skip
def test_a_prediction_by_a_norm_is_found(model: nn.Module, target: Any, loss: Any) -> None:
    assert _found(model, target, loss) == ["BN102"]


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (nn.Sequential(*_END), None),
        (nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16)), _CLASSES),
        (nn.Sequential(*_END, nn.ReLU()), _CLASSES),
        (nn.Sequential(nn.Linear(4, 3), normwise.nn.BatchNorm1d(3, activation="relu")), _CLASSES),
        (nn.Sequential(*_END, nn.Linear(3, 3)), _CLASSES),
        (_WithFeatures(), _CLASSES),
    ],
    ids=["no target", "embedding", "activation", "fused activation", "weighted", "features beside"],
)
def test_features_may_end_in_a_norm(model: nn.Module, target: Any) -> None:
    assert _found(model, target) == []
