"""Rules on wiring and on the optimiser raise on no model, however odd."""

from collections.abc import Callable
from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.errors import ModelError

_CODES = ["BN1", "BN6"]


def _not_a_number() -> nn.Module:
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
    model.get_buffer("2.running_var").fill_(torch.nan)
    return model


def _constant() -> nn.Module:
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
    nn.init.zeros_(model.get_parameter("1.weight"))
    return model


class _FailsInTraining(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop, self.norm = nn.Dropout(0.5), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise RuntimeError("not for training")
        return self.norm(self.drop(x))


class _NoTensor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> list[float]:
        return self.norm(x).mean(0).tolist()


_MODELS: list[Callable[[], nn.Module]] = [
    lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, affine=False, track_running_stats=False)),
    lambda: nn.Sequential(nn.BatchNorm1d(4, momentum=None), nn.BatchNorm1d(4, affine=False)),
    lambda: nn.BatchNorm1d(4),
    lambda: nn.utils.parametrizations.weight_norm(nn.Sequential(nn.BatchNorm1d(4))[0], dim=0),
    _not_a_number,
    _constant,
    _FailsInTraining,
    _NoTensor,
]


@pytest.mark.parametrize("build", _MODELS)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [1, 2, 16])
def test_no_rule_raises(build: Callable[[], nn.Module], training: bool, size: int) -> None:
    model = build().train(training)
    parameters = [p for p in model.parameters() if p.requires_grad] or [nn.Parameter(torch.zeros(1))]
    optimizer = torch.optim.SGD(parameters, lr=0.1, weight_decay=0.1)
    x = torch.randn(size, 4)
    # An error of the model's own is one, and no rule's.
    with suppress(ModelError):
        normwise.diagnose(model, [x, x[:1]], optimizer=optimizer, select=_CODES)
