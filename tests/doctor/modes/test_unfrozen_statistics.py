"""BN303: frozen layers whose statistics move, and the many ways to freeze that are no mistake."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

import normwise
from normwise.records import Finding


def _fine_tuned(**head: Any) -> nn.Module:
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4, **head), nn.ReLU(),
        nn.Conv2d(4, 8, 3, bias=False), nn.BatchNorm2d(8, **head), nn.ReLU(),
    )  # fmt: skip
    backbone.requires_grad_(False)
    return nn.Sequential(backbone, nn.Flatten(), nn.Linear(128, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))


def _found(
    model: nn.Module, optimizer: torch.optim.Optimizer | None = None, loss: Any = F.cross_entropy
) -> tuple[Finding, ...]:
    data = [(torch.randn(16, 1, 8, 8) + 2, torch.randint(10, (16,))) for _ in range(2)]
    return normwise.diagnose(model, data, loss=loss, optimizer=optimizer, select=["BN303"]).findings


def test_a_frozen_backbone_in_training_is_an_error_of_its_layers_alone() -> None:
    (finding,) = _found(_fine_tuned().train())
    assert finding.severity == "error"
    assert sorted(symptom.path for symptom in finding.symptoms) == ["0.1", "0.4"]
    assert finding.symptoms[0].evidence[0].value > 0.1
    assert finding.fix == 'normwise.freeze(model.get_submodule("0"))'


def test_the_code_of_its_fix_works() -> None:
    model = _fine_tuned().train()
    normwise.freeze(model.get_submodule("0"))
    assert _found(model) == ()


def test_a_model_in_evaluation_may_be_trained_otherwise() -> None:
    model = _fine_tuned().eval()
    assert [finding.severity for finding in _found(model)] == ["warning"]
    assert [finding.severity for finding in _found(model, loss=None)] == ["info"]


def test_layers_put_into_evaluation_in_training_do_not_move() -> None:
    model = _fine_tuned().train()
    model.get_submodule("0").eval()
    assert _found(model) == ()


def test_a_model_that_nobody_trains_is_no_finding() -> None:
    assert _found(_fine_tuned().requires_grad_(False).train()) == ()


def test_a_backbone_that_the_optimizer_was_not_given_is_frozen() -> None:
    model = _fine_tuned().requires_grad_(True).train()
    head = torch.optim.SGD(
        [*model.get_submodule("2").parameters(), *model.get_submodule("3").parameters()], lr=0.1
    )
    (finding,) = _found(model, head)
    assert sorted(symptom.path for symptom in finding.symptoms) == ["0.1", "0.4"]
    whole = torch.optim.SGD(model.parameters(), lr=0.1)
    assert _found(model, whole) == ()


def test_parameters_that_the_optimizer_alone_forgot_are_another_rule() -> None:
    model = _fine_tuned().requires_grad_(True).train()
    weights = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    assert _found(model, torch.optim.SGD(weights, lr=0.1)) == ()


def test_a_layer_without_parameters_belongs_to_the_layer_before() -> None:
    (finding,) = _found(_fine_tuned(affine=False).train())
    assert sorted(symptom.path for symptom in finding.symptoms) == ["0.1", "0.4"]
    assert _found(_fine_tuned(affine=False).requires_grad_(True).train()) == ()


def test_one_parameter_that_learns_is_enough() -> None:
    model = _fine_tuned().requires_grad_(True).train()
    for path in ("0.1", "0.4"):
        model.get_submodule(path).get_parameter("bias").requires_grad_(False)
    assert _found(model) == ()
