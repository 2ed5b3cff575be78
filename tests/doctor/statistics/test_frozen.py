"""Frozen layers, whose statistics training has used as they are."""

import pytest
import torch
from torch import Tensor, nn

import normwise


def _frozen() -> tuple[nn.Sequential, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    normwise.freeze(model)
    return model.eval(), 3 * torch.randn(64, 4) + 2


def _found(model: nn.Module, data, **options) -> dict[str, str]:
    findings = normwise.diagnose(model, data, select=["BN201", "BN202"], **options).findings
    return {finding.code: finding.severity for finding in findings}


def test_a_frozen_layer_that_nothing_was_loaded_into_is_a_warning() -> None:
    model, x = _frozen()
    diagnosis = normwise.diagnose(model, x, select=["BN2"])
    (finding,) = diagnosis.findings
    assert (finding.code, finding.severity) == ("BN202", "warning")
    assert "the layers are frozen, and nothing was loaded into them" in finding.message
    assert "include_frozen=True" in finding.fix
    _, treatment = diagnosis.fix()
    assert treatment.proven, str(treatment)


def test_statistics_that_scale_and_shift_have_taken_over_are_no_finding() -> None:
    model, x = _frozen()
    nn.init.uniform_(model.get_parameter("1.weight"), 0.5, 1.5)
    assert _found(model, x) == {}


@pytest.mark.parametrize("data", [True, False])
def test_frozen_statistics_of_other_data_are_those_of_training(data: bool) -> None:
    model, x = _frozen()
    model.get_submodule("1").register_buffer("running_mean", 5 * torch.randn(8))
    assert _found(model, x if data else None) == {}


def test_a_loss_shows_that_other_statistics_are_better() -> None:
    model, x = _frozen()
    model.get_submodule("1").register_buffer("running_mean", 50 * torch.randn(8))
    labels = torch.randint(3, (64,))
    diagnosis = normwise.diagnose(model, [(x, labels)], loss=nn.CrossEntropyLoss(), select=["BN201"])
    (finding,) = diagnosis.findings
    assert finding.severity == "error"
    assert "include_frozen=True" in finding.fix
    _, treatment = diagnosis.fix()
    assert treatment.proven, str(treatment)
