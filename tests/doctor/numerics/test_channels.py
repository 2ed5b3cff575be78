"""Channels that are dead, huge, switched off, or smaller than ε; and healthy ones that only look so."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normwise

_CODES = ["BN403", "BN405", "BN406", "BN407"]


def _found(model: nn.Module, *batches: Tensor) -> dict[str, str]:
    findings = normwise.diagnose(model, list(batches) or None, select=_CODES).findings
    return {finding.code: finding.severity for finding in findings}


# Layers of a sequence are looked into, of which torch's types say nothing.
def _net() -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(16, momentum=None)
    return nn.Sequential(nn.Linear(4, 16, bias=False), norm, nn.ReLU(), nn.Linear(16, 3)), torch.randn(256, 4)


@pytest.mark.parametrize(("dead", "severity"), [(1, None), (4, "info"), (8, "info"), (9, "warning")])
def test_dead_outputs_are_a_warning_where_most_of_a_layer_is(dead: int, severity: str | None) -> None:
    model, x = _net()
    model(x)
    model[1].bias.data[:dead] = -20
    assert _found(model.eval(), x) == ({} if severity is None else {"BN405": severity})


def test_outputs_that_a_residual_gets_too_are_not_dead() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4, momentum=None)

        def forward(self, x: Tensor) -> Tensor:
            x = self.norm(self.linear(x))
            return torch.relu(x) + x

    torch.manual_seed(0)
    model, x = Residual(), torch.randn(256, 4)
    model(x)
    model.norm.bias.data[:] = -20
    assert _found(model.eval(), x) == {}


def test_functional_relu_and_our_activation_are_seen() -> None:
    class Functional(nn.Module):
        def __init__(self, norm: nn.Module) -> None:
            super().__init__()
            self.norm = norm

        def forward(self, x: Tensor) -> Tensor:
            x = self.norm(x)
            return x if getattr(self.norm, "activation", None) else torch.nn.functional.relu(x)

    for norm in (nn.BatchNorm1d(4), normwise.nn.BatchNorm1d(4, activation="relu")):
        torch.manual_seed(0)
        norm.bias.data[:] = -20
        model, x = Functional(norm), torch.randn(256, 4)
        assert _found(model, x) == {"BN405": "warning"}


def test_a_few_values_do_not_show_that_an_output_is_dead() -> None:
    model, x = _net()
    model(x)
    model[1].bias.data[:] = -20
    assert _found(model.eval(), x[:50]) == {}


def test_constant_inputs_from_the_data_are_worth_knowing_only() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 2)), torch.randn(256, 8)
    x[:, :6] = 0
    assert _found(model, x) == {"BN405": "info"}


def test_constant_inputs_that_the_model_makes_are_a_warning() -> None:
    model, x = _net()
    model[0].weight.data[:12] *= 1e-9
    assert _found(model, x) == {"BN405": "warning"}


@pytest.mark.parametrize(
    ("scale", "severity"), [(1, None), (0.03, None), (3e-3, "warning"), (1e-6, "warning")]
)
def test_small_inputs_make_eps_count(scale: float, severity: str | None) -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 2)), scale * torch.randn(256, 8)
    assert _found(model, x) == ({} if severity is None else {"BN403": severity})


def test_eps_of_a_few_channels_is_worth_knowing_only() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 2)), torch.randn(256, 8)
    x[:, :2] *= 3e-3
    assert _found(model, x) == {"BN403": "info"}


def test_eps_is_compared_with_the_running_variance_where_there_are_no_data() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, eps=1.0))
    assert _found(model) == {"BN403": "warning"}


def test_a_zero_that_a_new_residual_branch_begins_with_is_meant() -> None:
    model: Any = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8))
    nn.init.zeros_(model[3].weight)
    assert _found(model) == {"BN407": "info"}
    model[1].weight.data += torch.linspace(-0.3, 0.3, 8)
    assert _found(model) == {"BN407": "warning"}


def test_a_layer_that_is_switched_off_explains_what_is_behind_it() -> None:
    torch.manual_seed(0)
    layers = [
        layer
        for _ in range(3)
        for layer in (nn.Linear(16, 16, bias=False), nn.BatchNorm1d(16, momentum=None), nn.ReLU())
    ]
    model: Any = nn.Sequential(*layers)
    x = torch.randn(256, 16)
    for norm in (model[1], model[4], model[7]):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
    model[1].weight.data *= 1e-6
    model(x)
    assert _found(model.eval(), x) == {"BN407": "warning"}


def test_scales_that_are_all_tiny_are_not_typical() -> None:
    model, _ = _net()
    model[1].weight.data = torch.rand(16) * 1e-7
    assert _found(model) == {"BN407": "warning"}


@pytest.mark.parametrize("where", ["data", "model"])
def test_values_that_are_not_finite_are_an_error_and_their_origin_is_told(where: str) -> None:
    model, x = _net()
    model(x)
    bad = x.clone()
    if where == "data":
        bad[3, 2] = torch.nan
    else:
        model.insert(0, nn.Hardshrink(1e-9))
        model[0].register_forward_hook(
            lambda module, args, out: out / (out[:, :1] - bad[0, 0]).abs().clamp_max(1)
        )
    (finding,) = normwise.diagnose(model.eval(), [x, bad], select=_CODES).findings
    assert (finding.code, finding.severity) == ("BN406", "error")
    assert ("the data have them" if where == "data" else "from finite data") in finding.message


def test_one_channel_far_above_the_others_explodes() -> None:
    model, x = _net()
    model[0].weight.data[3] *= 1e6
    assert _found(model, x) == {"BN406": "warning"}


def test_features_of_other_units_do_not_explode() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, 2)), torch.randn(256, 16)
    x[:, 3] *= 1e7
    assert _found(model, x) == {}


def test_values_near_the_end_of_float16_are_told() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).half()
    assert _found(model, (torch.randn(64, 4) * 3e4).clamp(-6e4, 6e4).half()).get("BN406") == "warning"


def test_layers_without_parameters_statistics_or_finite_numbers_are_taken() -> None:
    torch.manual_seed(0)
    plain = nn.BatchNorm1d(4, affine=False, track_running_stats=False)
    broken: Any = nn.BatchNorm1d(4)
    broken.running_var.fill_(torch.nan)
    broken.weight.data.fill_(torch.nan)
    model, x = nn.Sequential(plain, broken, nn.Linear(4, 2)), torch.randn(32, 4)
    codes = {finding.code for finding in normwise.diagnose(model, [x, x[:0]], select=["BN4", "BN5"]).findings}
    assert codes <= {"BN502"}
    normwise.diagnose(model, select=["BN4"])


@pytest.mark.parametrize("training", [True, False])
def test_the_first_state_of_a_recurrent_layer_is_no_dead_channel(training: bool) -> None:
    torch.manual_seed(0)
    model = normwise.nn.BatchNormLSTM(4, 5).train(training)
    assert _found(model, torch.randn(6, 8, 4)) == {}


@pytest.mark.parametrize(
    ("eps", "trained", "severity"),
    [(1e-3, False, "info"), (1e-3, True, "warning"), (1e-1, False, "warning")],
)
def test_small_variances_of_initial_weights_are_worth_knowing_only(
    eps: float, trained: bool, severity: str
) -> None:
    model, x = _net()
    model[3] = nn.Linear(16, 8, bias=False)
    model.append(nn.BatchNorm1d(8, eps=eps))
    model[3].weight.data *= 0.01
    if trained:
        nn.init.uniform_(model[1].weight, 0.5, 1.5)
    assert _found(model, x) == {"BN403": severity}


@pytest.mark.parametrize(("variance", "severity"), [(5e-3, "info"), (5e-4, "warning")])
def test_a_usual_eps_is_a_warning_where_it_is_as_large_as_the_variance(
    variance: float, severity: str
) -> None:
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.BatchNorm1d(8, eps=1e-3), nn.Linear(8, 2))
    nn.init.uniform_(model[0].weight, 0.5, 1.5)
    assert _found(model, variance**0.5 * torch.randn(256, 8)) == {"BN403": severity}


def test_small_scales_are_named_where_they_make_values_small() -> None:
    torch.manual_seed(0)
    layers = [
        layer for _ in range(3) for layer in (nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8), nn.SiLU())
    ]
    model = nn.Sequential(*layers)
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, 0, 0.0 if name.endswith("bias") else 0.02)
    (finding,) = normwise.diagnose(model, torch.randn(16, 8, 12, 12), select=["BN403"]).findings
    assert finding.severity == "warning"
    assert "in a typical BN layer, so that values shrink" in finding.message
    assert "ones_(module.weight)" in finding.fix
