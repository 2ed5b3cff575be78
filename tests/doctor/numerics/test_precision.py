"""Statistics and values of half precision: found, stalled, healed, or left."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.doctor import Diagnosis, Facts
from normwise.doctor.heal import float_norms
from normwise.records import Treatment
from normwise.surgery.core.decision import LeftError
from tests.support.untouched import everything_of

_halves = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)


def _net(momentum: float | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(8, momentum=momentum)
    return nn.Sequential(nn.Linear(4, 8, bias=False), norm, nn.ReLU(), nn.Linear(8, 3))


# Layers of a sequence are looked into, of which torch's types say nothing.
def _fixed(diagnosis: Diagnosis) -> tuple[Any, Treatment]:
    return diagnosis.fix()


def _trained() -> tuple[Any, Tensor]:
    model, x = _net(), torch.randn(64, 4)
    model(x)
    return model.eval(), x


@_halves
def test_a_model_of_half_precision_keeps_its_outputs_when_its_norms_are_healed(dtype: torch.dtype) -> None:
    model, x = _trained()
    model, x = model.to(dtype), x.to(dtype)
    diagnosis = normwise.diagnose(model, [x], select=["BN4"])
    assert [(finding.code, finding.severity) for finding in diagnosis.findings] == [("BN401", "warning")]
    healed, treatment = _fixed(diagnosis)
    assert treatment.proven
    assert healed[1].running_var.dtype is healed[1].weight.dtype is torch.float32
    assert healed[3].weight.dtype is dtype
    torch.testing.assert_close(healed(x), model(x), atol=0.02, rtol=0.02)


def test_norms_that_refuse_their_inputs_are_an_error_and_are_healed() -> None:
    model, x = _trained()
    model[1].bfloat16()
    diagnosis = normwise.diagnose(model, [x], select=["BN4"])
    (finding,) = diagnosis.findings
    assert (finding.code, finding.severity) == ("BN401", "error")
    assert "fails on its data" in finding.message
    healed, treatment = _fixed(diagnosis)
    assert treatment.proven
    assert healed(x).isfinite().all()


def test_a_conversion_that_stops_the_model_is_undone() -> None:
    class Strict(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> Tensor:
            if self.norm.weight.dtype is not torch.bfloat16:
                raise RuntimeError("only bfloat16 here")
            return self.norm(x)

    model = Strict().eval().bfloat16()
    facts = Facts.of_model(model, [torch.randn(16, 4).bfloat16()])
    healed = copy.deepcopy(model)
    before = everything_of(healed)
    with pytest.raises(LeftError, match="only bfloat16 here"):
        float_norms(facts, healed, ["norm"])
    assert everything_of(healed) == before


def test_without_data_the_types_are_found_and_left() -> None:
    diagnosis = normwise.diagnose(_net().eval().half(), select=["BN401"])
    assert [finding.code for finding in diagnosis.findings] == ["BN401"]
    _, treatment = diagnosis.fix()
    assert not treatment.proven
    assert "without data" in treatment.remedies[0].reason


def _stalled(dtype: torch.dtype, momentum: float) -> tuple[Any, list[Tensor]]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(8, momentum=momentum), nn.Linear(8, 3)).to(dtype)
    batches = [(2 * torch.randn(32, 8) + 1).to(dtype) for _ in range(10)]
    for _ in range(150):
        for x in batches:
            model[0](x)
    return model.eval(), batches


def test_a_small_momentum_stalls_in_bfloat16() -> None:
    model, batches = _stalled(torch.bfloat16, 0.003)
    diagnosis = normwise.diagnose(model, batches, select=["BN201", "BN4"])
    assert [finding.code for finding in diagnosis.findings] == ["BN402"]
    healed, treatment = _fixed(diagnosis)
    assert treatment.proven
    exact = torch.cat(batches).double().var(0)
    torch.testing.assert_close(healed[0].running_var.double(), exact, rtol=0.01, atol=0)


@pytest.mark.parametrize(("dtype", "momentum"), [(torch.bfloat16, 0.1), (torch.float32, 0.003)])
def test_a_usual_momentum_or_type_does_not(dtype: torch.dtype, momentum: float) -> None:
    model, batches = _stalled(dtype, momentum)
    assert normwise.diagnose(model, batches, select=["BN402"]).findings == ()


def test_a_mean_that_is_huge_beside_the_deviation_stalls_in_float32() -> None:
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.BatchNorm1d(4, momentum=0.001), nn.Linear(4, 3))
    x = torch.randn(256, 4) + 1e6
    model[0].running_mean.fill_(1e6 - 20)
    model[0].running_var.fill_(1)
    model[0].num_batches_tracked.fill_(1000)
    (finding,) = normwise.diagnose(model.eval(), [x], select=["BN402"]).findings
    assert finding.symptoms[0].evidence[2].value == pytest.approx(20, rel=0.1)


def test_statistics_that_are_off_and_still_move_are_not_stalled() -> None:
    model, x = _net(momentum=0.01), 5 * torch.randn(64, 4)
    assert normwise.diagnose(model.eval(), [x], select=["BN402"]).findings == ()


class _Autocast(nn.Module):
    def __init__(self, mean: float, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm, self.dtype = nn.Linear(16, 8), nn.BatchNorm1d(8, momentum=None), dtype
        nn.init.normal_(self.first.weight, std=0.25)
        nn.init.constant_(self.first.bias, mean)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", self.dtype):
            return self.norm(self.first(x))


@pytest.mark.parametrize(
    ("dtype", "mean", "found"),
    [
        (torch.bfloat16, 2, False), (torch.bfloat16, 20, True), (torch.bfloat16, 4000, True),
        (torch.float16, 20, False), (torch.float16, 200, True),
    ],
)  # fmt: skip
def test_digits_are_lost_from_a_mean_that_goes_with_the_type(
    dtype: torch.dtype, mean: float, found: bool
) -> None:
    model, x = _Autocast(mean, dtype), torch.randn(64, 16)
    model(x)
    findings = normwise.diagnose(model.eval(), [x], select=["BN404", "BN405"]).findings
    assert [finding.code for finding in findings] == (["BN404"] if found else [])


def test_a_dead_channel_of_half_precision_has_not_lost_its_digits() -> None:
    model, x = _Autocast(1, torch.bfloat16), torch.randn(64, 16)
    model.first.weight.data[:2] = 0
    model(x)
    findings = normwise.diagnose(model.eval(), [x], select=["BN404", "BN405"]).findings
    assert [finding.code for finding in findings] == ["BN405"]


def test_a_variance_that_float32_cannot_hold_is_not_stalled_beside_eps() -> None:
    model, x = nn.Sequential(nn.BatchNorm1d(8, momentum=None), nn.Linear(8, 2)), 1e-23 * torch.randn(64, 8)
    model(x)
    assert normwise.diagnose(model.eval(), [x], select=["BN402"]).findings == ()
