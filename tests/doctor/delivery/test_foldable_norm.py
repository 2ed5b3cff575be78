"""BN703: the layers that it names are those that ``fold`` takes out."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise


class _Block(nn.Module):
    """A residual block, called in functional code, with a shared layer and one whose input is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.second, self.norm2 = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.shared, self.norm3 = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.first(x)))
        y = self.second(x)
        x = self.norm2(y) + y
        return self.norm3(self.shared(F.relu(self.shared(x))))


def _paths(model: nn.Module) -> set[str]:
    findings = normwise.diagnose(model, torch.randn(4, 3, 6, 6), select=["BN703"]).findings
    return {symptom.path for finding in findings for symptom in finding.symptoms}


def test_those_whose_input_nothing_else_uses_are_named_and_folded() -> None:
    torch.manual_seed(0)
    model = _Block().eval()
    assert _paths(model) == {"norm1"}
    _, report = normwise.fold(model, torch.randn(4, 3, 6, 6), timed=False)
    assert {layer.path for layer in report.changes if layer.changed} >= {"norm1"}


def test_a_model_in_training_or_with_an_optimizer_has_none() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert _paths(model.train()) == set()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = torch.randn(4, 3, 6, 6)
    assert normwise.diagnose(model.eval(), data, optimizer=optimizer, select=["BN703"]).findings == ()
    assert _paths(model) == {"1"}


def test_it_is_no_fault() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    assert normwise.diagnose(model, torch.randn(4, 3, 6, 6), select=["BN703"]).is_healthy
