"""BN302: parts of a model in different modes, by mistake and on purpose."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import normwise
from normwise.records import Finding


def _network() -> nn.Module:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU())
    head = nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    return nn.Sequential(backbone, head)


def _modes(model: nn.Module, **given: Any) -> tuple[Finding, ...]:
    data = [(torch.randn(16, 4), torch.randint(3, (16,))) for _ in range(4)]
    return normwise.diagnose(model, data, select=["BN301", "BN302", "BN306"], **given).findings


def test_a_part_in_training_within_evaluation_is_one_error_and_no_other() -> None:
    model = _network().eval()
    model.get_submodule("1").train()
    (finding,) = _modes(model)
    assert (finding.code, finding.severity) == ("BN302", "error")
    assert [symptom.path for symptom in finding.symptoms] == ["1.1"]
    assert finding.message == "The model is in evaluation mode, but 1 of its 2 BN layers is in training mode."


def test_its_fix_puts_all_into_evaluation_and_is_proven() -> None:
    model = _network().eval()
    model.get_submodule("1").train()
    diagnosis = normwise.diagnose(model, [torch.randn(16, 4)], select=["BN302"])
    healed, treatment = diagnosis.fix()
    assert treatment.proven
    assert not any(module.training for module in healed.modules())
    assert model.get_submodule("1").training


def test_a_part_left_in_evaluation_that_is_trained_is_a_warning() -> None:
    model = _network().train()
    model.get_submodule("0").eval()
    (finding,) = _modes(model, loss=F.cross_entropy)
    assert (finding.code, finding.severity, finding.safety) == ("BN302", "warning", "manual")
    assert [symptom.path for symptom in finding.symptoms] == ["0.1"]


@pytest.mark.parametrize(
    "way", ["without gradients", "all of the model", "normwise.freeze", "train overridden"]
)
def test_what_is_frozen_on_purpose_is_no_finding(way: str) -> None:
    model = _network().train()
    backbone = model.get_submodule("0")
    if way == "without gradients":
        backbone.eval().requires_grad_(False)
    elif way == "all of the model":
        for path in ("0.1", "1.1"):
            model.get_submodule(path).eval()
    elif way == "normwise.freeze":
        normwise.freeze(backbone)
    else:
        backbone.eval()
        backbone.train = lambda mode=True: backbone
    assert _modes(model, loss=F.cross_entropy) == ()


def test_a_model_in_training_for_evaluation_says_so_once() -> None:
    model = _network().train()
    assert [finding.code for finding in _modes(model)] == ["BN301"]
    model.get_submodule("0").eval()
    assert [finding.code for finding in _modes(model)] == ["BN302"]
