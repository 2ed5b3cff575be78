"""The assertion fails with the findings' text, and lets notes pass."""

import pytest
import torch
from torch import nn

import normwise
from normwise.errors import ModelError
from normwise.testing import assert_healthy

_X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))


def _model(steps: int, *, bias: bool = False) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8, bias=bias), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    for _ in range(steps):
        model(5 * _X + 3)
    return model.eval()


def test_a_healthy_model_passes() -> None:
    assert_healthy(_model(100), 5 * _X + 3)


def test_notes_pass() -> None:
    model = _model(100, bias=True)
    assert normwise.diagnose(model, 5 * _X + 3).findings
    assert_healthy(model, 5 * _X + 3)


def test_a_finding_fails_with_its_evidence_and_fix() -> None:
    with pytest.raises(
        AssertionError, match=r"error BN20\d (?s:.*)'1'|1 \(BatchNorm1d\)(?s:.*)Fix \((?s:.*)calibrate"
    ):
        assert_healthy(_model(1), 5 * _X + 3)


def test_what_is_ignored_passes() -> None:
    assert_healthy(_model(1), 5 * _X + 3, ignore=["BN2"])


def test_a_loss_and_an_optimizer_are_examined_too() -> None:
    model = _model(100)
    batch = (5 * _X + 3, torch.arange(64) % 3)
    assert_healthy(
        model, [batch, batch], loss=nn.CrossEntropyLoss(), optimizer=torch.optim.SGD(model.parameters(), 0.1)
    )


def test_a_model_that_fails_is_an_error_and_no_finding() -> None:
    with pytest.raises(ModelError, match="fails on its data"):
        assert_healthy(_model(100), torch.randn(8, 7))
