"""BN205: momentum and ε of another framework."""

import pytest
import torch
from torch import nn

import normwise
from normwise.doctor import Diagnosis


def _diagnosed(model: nn.Module, data=None) -> Diagnosis:
    return normwise.diagnose(model, data, select=["BN205"])


def _net(*settings: tuple[float | None, float]) -> nn.Sequential:
    return nn.Sequential(*(nn.BatchNorm1d(4, momentum=momentum, eps=eps) for momentum, eps in settings))


@pytest.mark.parametrize("momentum", [0.9, 0.99, 0.997, 0.999])
def test_momentum_of_keras_is_found_without_data(momentum: float) -> None:
    diagnosis = _diagnosed(_net((momentum, 1e-5)))
    assert diagnosis.findings[0].severity == "warning"
    assert f"the intended average needs momentum={1 - momentum:.3g}" in diagnosis.findings[0].message


@pytest.mark.parametrize("momentum", [None, 0.0, 0.01, 0.1, 0.3, 0.5, 1.0])
def test_other_momenta_are_no_finding(momentum: float | None) -> None:
    assert not _diagnosed(_net((momentum, 1e-5))).findings


def test_settings_of_keras_ported_right_are_no_finding() -> None:
    assert not _diagnosed(_net((0.01, 1e-3), (0.01, 1e-3))).findings


def test_a_single_layer_of_another_eps_is_a_note() -> None:
    diagnosis = _diagnosed(_net((0.1, 1e-5), (0.1, 1e-5), (0.1, 1e-3)))
    assert [(one.severity, one.symptoms[0].path) for one in diagnosis.findings] == [("info", "2")]
    assert diagnosis.is_healthy


def test_the_fix_sets_momentum_and_says_that_a_state_dict_has_none() -> None:
    torch.manual_seed(0)
    model = _net((0.99, 1e-5))
    batches = [torch.randn(8, 4) for _ in range(10)]
    for x in batches:
        model(x)
    healed, treatment = _diagnosed(model.eval(), batches).fix()
    assert treatment.proven
    assert healed.get_submodule("0").momentum == pytest.approx(0.01)
    assert "a state dict does not hold" in treatment.remedies[0].reason


def test_layers_that_do_not_learn_are_no_finding() -> None:
    model = _net((0.99, 1e-5))
    assert _diagnosed(model).findings
    normwise.freeze(model)
    assert not _diagnosed(model).findings
