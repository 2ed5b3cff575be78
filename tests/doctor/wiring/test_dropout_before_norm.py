"""BN104: dropout before BN, on digits."""

import functools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise
from normwise.data import digits

_BATCH = 64


@functools.cache
def _digits() -> tuple[Tensor, Tensor]:
    training = digits().training
    (x,) = training.inputs(torch.arange(len(training))).values()
    return x.flatten(1), training.labels


def _network(*, first: float = 0.0, behind: float = 0.0) -> nn.Sequential:
    torch.manual_seed(0)
    inputs = _digits()[0].shape[1]
    layers: list[nn.Module] = [nn.Dropout(first)]
    for width in (inputs, 64):
        layers += [nn.Linear(width, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(behind), nn.Linear(64, 10))


def _train(model: nn.Module, epochs: int) -> nn.Module:
    x, y = _digits()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(_BATCH):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model.eval()


def _loader() -> list[tuple[Tensor, Tensor]]:
    x, y = _digits()
    return list(zip(x.split(_BATCH), y.split(_BATCH), strict=True))


@pytest.mark.parametrize("epochs", [3, 5])
def test_dropout_at_the_input_is_named_in_place_of_stale_statistics_and_fixed(epochs: int) -> None:
    model = _train(_network(first=0.5), epochs)
    diagnosis = normwise.diagnose(model, _loader(), loss=nn.CrossEntropyLoss(), select=["BN1", "BN2"])
    (finding,) = diagnosis.findings
    assert (finding.code, finding.severity) == ("BN104", "warning")
    assert finding.symptoms[0].path == "2"
    ratio, error, running, probability = (measured.value for measured in finding.symptoms[0].evidence)
    assert ratio > 1.5
    assert error < 0.3
    assert running == pytest.approx(ratio, rel=0.25)
    assert probability == 0.5
    _, treatment = diagnosis.fix()
    assert treatment.proven
    assert treatment.after.running.loss < treatment.before.running.loss


def test_dropout_behind_the_last_norm_is_fine() -> None:
    model = _train(_network(behind=0.5), 2)
    assert normwise.diagnose(model, _loader(), loss=nn.CrossEntropyLoss(), select=["BN104"]).findings == ()


def test_dropout_that_drops_nothing_is_fine() -> None:
    assert normwise.diagnose(_network(), _loader(), select=["BN104"]).findings == ()


def test_a_slight_shift_is_a_note() -> None:
    model = _train(_network(first=0.1), 20)
    (finding,) = normwise.diagnose(model, _loader(), loss=nn.CrossEntropyLoss(), select=["BN104"]).findings
    assert finding.severity == "info"


def test_statistics_that_were_recomputed_without_dropout_are_fine() -> None:
    model = _train(_network(first=0.5), 2)
    normwise.calibrate(model, _loader())
    assert normwise.diagnose(model, _loader(), loss=nn.CrossEntropyLoss(), select=["BN104"]).findings == ()


def test_new_statistics_are_not_blamed_on_dropout() -> None:
    found = normwise.diagnose(_network(first=0.5), _loader(), loss=nn.CrossEntropyLoss(), select=["BN104"])
    assert found.findings == ()


def test_statistics_that_are_stale_for_another_cause_are_not_blamed_on_dropout() -> None:
    model = _train(_network(first=0.5), 2)
    model.get_buffer("2.running_mean").add_(1)
    found = normwise.diagnose(model, _loader(), loss=nn.CrossEntropyLoss(), select=["BN104", "BN201"])
    assert "2" in [
        symptom.path for symptom in found.findings[0].symptoms if found.findings[0].code == "BN201"
    ]


class _InFunctions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 16, 3, bias=False), nn.BatchNorm2d(16)
        self.last = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.max_pool2d(F.dropout(self.first(x).relu(), 0.5, self.training), 2)
        return self.last(self.norm(hidden).mean((2, 3)))


def test_dropout_in_functional_code_is_found_past_pooling() -> None:
    torch.manual_seed(0)
    model, x = _InFunctions(), torch.randn(64, 1, 8, 8)
    for _ in range(100):
        model(x)
    (finding,) = normwise.diagnose(model.eval(), [x], select=["BN104"]).findings
    assert finding.symptoms[0].path == "norm"
