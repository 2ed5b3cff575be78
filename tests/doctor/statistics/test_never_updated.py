"""BN202: statistics that no batch has moved."""

import torch
from torch import nn

import normwise
from normwise.doctor import Facts, examine, rules_named
from normwise.doctor.facts.model.norm_facts import norms_of_state


def _new() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8), nn.BatchNorm1d(8))


def _found(model: nn.Module, data=None) -> list[tuple[str, str]]:
    diagnosis = normwise.diagnose(model, data, select=["BN202"])
    return [
        (finding.severity, symptom.path) for finding in diagnosis.findings for symptom in finding.symptoms
    ]


def test_a_new_model_without_data_is_no_finding() -> None:
    assert _found(_new()) == []


def test_a_new_model_in_training_mode_is_a_note_with_data() -> None:
    assert {severity for severity, _ in _found(_new(), torch.randn(64, 4))} == {"info"}


def test_a_new_model_in_evaluation_is_an_error_with_data() -> None:
    assert {severity for severity, _ in _found(_new().eval(), 5 * torch.randn(64, 4))} == {"error"}


def test_trained_weights_show_it_without_data() -> None:
    model = _new()
    nn.init.uniform_(model.get_parameter("1.weight"), 0.5, 1.5)
    assert _found(model) == [("error", "1")]


def test_other_layers_that_moved_show_it_without_data() -> None:
    model = _new()
    model.get_submodule("1").register_buffer("running_mean", torch.ones(8))
    assert _found(model) == [("warning", "4")]


def test_constant_initial_weights_are_not_trained_ones() -> None:
    model = _new()
    nn.init.zeros_(model.get_parameter("4.weight"))  # the last BN of a residual branch
    assert _found(model) == []


def test_a_checkpoint_shows_it() -> None:
    model = _new()
    nn.init.uniform_(model.get_parameter("4.bias"), -1, 1)
    facts = Facts("checkpoint", norms_of_state(model.state_dict()))
    findings = examine(facts, rules_named(["BN202"])).findings
    assert [symptom.path for symptom in findings[0].symptoms] == ["4"]
    assert findings[0].cost == ""


def test_data_of_mean_0_and_variance_1_are_no_finding() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2)).eval()
    torch.manual_seed(0)
    assert _found(model, torch.randn(4096, 4)) == []


def test_a_layer_that_the_data_do_not_reach_is_no_finding() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.BatchNorm1d(4, momentum=None), nn.BatchNorm1d(4)

        def forward(self, x):
            return self.used(x)

    model = Unused()
    x = 3 * torch.randn(64, 4) + 1
    model(x)
    assert _found(model.eval(), x) == []


def test_momentum_of_0_is_named() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=0.0), nn.Linear(8, 2))
    model(torch.randn(64, 4))
    diagnosis = normwise.diagnose(model.eval(), 3 * torch.randn(64, 4), select=["BN202"])
    assert "momentum=0 ignores every batch" in diagnosis.findings[0].message


def test_time_steps_that_no_sequence_reached_are_no_finding() -> None:
    torch.manual_seed(0)
    model = normwise.nn.BatchNormLSTM(4, 8, max_length=6)
    model(torch.randn(3, 16, 4))
    nn.init.uniform_(model.get_parameter("norm_hh_l0.weight"), 0.05, 0.15)
    assert _found(model) == []
