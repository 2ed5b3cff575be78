"""BN702: SyncBatchNorm in one process."""

import pytest
import torch
from torch import nn

import normwise
from normwise.doctor.facts import facts


def _synchronised() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def test_its_fix_keeps_outputs_and_keys() -> None:
    model, x = _synchronised(), torch.randn(8, 3, 6, 6)
    healed, treatment = normwise.diagnose(model, x, select=["BN702"]).fix()
    assert treatment.proven
    assert type(healed.get_submodule("1")) is nn.BatchNorm2d
    assert healed.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(healed(x), model(x))


def test_without_a_batch_the_fix_is_left() -> None:
    _, treatment = normwise.diagnose(_synchronised(), select=["BN702"]).fix()
    assert "that needs a batch" in treatment.remedies[0].reason


def test_layers_of_other_classes_are_not_converted_along() -> None:
    model = nn.Sequential(_synchronised(), normwise.nn.BatchNorm2d(4)).eval()
    _, treatment = normwise.diagnose(model, torch.randn(8, 3, 6, 6), select=["BN702"]).fix()
    assert "layer '1' is of another class" in treatment.remedies[0].reason


def test_in_a_group_it_is_an_error_on_the_cpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "processes", lambda: 2)
    (finding,) = normwise.diagnose(_synchronised(), select=["BN702"]).findings
    assert (finding.severity, finding.symptoms[0].detail) == ("error", "on the CPU")
    assert 'normwise.convert(model, "sync"' in finding.fix
    assert normwise.diagnose(_synchronised().to("meta"), select=["BN702"]).findings == ()


def test_ours_may_be_alone() -> None:
    model, _ = normwise.convert(_synchronised(), "sync")
    assert normwise.diagnose(model, torch.randn(8, 3, 6, 6), select=["BN702"]).findings == ()
