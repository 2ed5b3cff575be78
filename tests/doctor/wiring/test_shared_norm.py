"""BN105: one layer for values of several distributions."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import normwise


class _Steps(nn.Module):
    """A recurrent network whose steps share a BN layer, or have one each."""

    def __init__(self, steps: int, *, shared: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm1d(8) for _ in range(1 if shared else steps))
        self.last, self.steps = nn.Linear(8, 3), steps

    def forward(self, x: Tensor) -> Tensor:
        for step in range(self.steps):
            x = x + self.norms[step % len(self.norms)](self.linear(x)).relu()
        return self.last(x)


class _Views(nn.Module):
    """A network that embeds two views; ``shift`` is how far the second is from the first."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.part = nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        self.shift = shift

    def forward(self, x: Tensor) -> Tensor:
        return self.part(x) + self.part(torch.randn_like(x) + self.shift)


class _Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        out = checkpoint(self.part, x, use_reentrant=False)
        assert isinstance(out, Tensor)
        return out


def _found(model: nn.Module, size: int = 64) -> list[tuple[str, str]]:
    torch.manual_seed(0)
    x = torch.randn(size, 8)
    with torch.no_grad():
        for _ in range(50):
            model(x)
    diagnosis = normwise.diagnose(model.eval(), [x], select=["BN105"])
    return [
        (finding.severity, symptom.path) for finding in diagnosis.findings for symptom in finding.symptoms
    ]


@pytest.mark.parametrize("steps", [5, 20])
def test_steps_that_share_a_layer_are_found(steps: int) -> None:
    torch.manual_seed(0)
    assert _found(_Steps(steps, shared=True)) == [("warning", "norms.0")]
    assert _found(_Steps(steps, shared=False)) == []


def test_views_of_other_means_are_found() -> None:
    torch.manual_seed(0)
    assert [path for _, path in _found(_Views(3.0))] == ["part.1"]


@pytest.mark.parametrize("size", [4, 8, 64])
def test_views_of_one_distribution_are_fine(size: int) -> None:
    torch.manual_seed(0)
    assert _found(_Views(0.0), size) == []


def test_calls_of_activation_checkpointing_are_none() -> None:
    assert _found(_Checkpointed()) == []


def test_time_steps_with_statistics_of_their_own_are_fine() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.last = normwise.nn.BatchNormLSTM(4, 8, batch_first=True), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.lstm(x)[0][:, -1])

    torch.manual_seed(0)
    diagnosis = normwise.diagnose(Last(), [torch.randn(32, 6, 4)], select=["BN105"])
    assert diagnosis.findings == ()
