"""Rules of statistics on models that have little to examine, or fail."""

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.errors import ModelError


class _Raising(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no")


def _broken() -> nn.Module:
    broken = nn.BatchNorm1d(4)
    broken.register_buffer("running_var", torch.full((4,), torch.nan))
    return broken


@pytest.mark.parametrize(
    "model",
    [
        nn.BatchNorm1d(4, track_running_stats=False),
        nn.BatchNorm1d(4, affine=False),
        normwise.nn.BatchNorm1d(4),
        _broken(),
    ],
    ids=["no statistics", "no parameters", "ours", "broken"],
)
@pytest.mark.parametrize("kind", ["none", "usual", "two samples", "constant", "nan", "infinite"])
def test_nothing_is_raised(model: nn.Module, kind: str) -> None:
    x = {
        "usual": torch.randn(8, 4), "two samples": torch.randn(2, 4), "constant": torch.zeros(8, 4),
        "nan": torch.full((8, 4), torch.nan), "infinite": torch.full((8, 4), torch.inf), "none": None,
    }[kind]  # fmt: skip
    normwise.diagnose(nn.Sequential(model).eval(), x, select=["BN2"])


@pytest.mark.parametrize("momentum", ["much", torch.tensor(0.1), [0.1]], ids=["text", "tensor", "list"])
def test_momentum_of_another_kind_is_no_finding(momentum: object) -> None:
    norm = nn.BatchNorm1d(4)
    norm.momentum = momentum  # type: ignore[assignment]
    assert not normwise.diagnose(nn.Sequential(norm), select=["BN2"]).findings


def test_a_lazy_layer_is_no_finding() -> None:
    assert not normwise.diagnose(nn.Sequential(nn.LazyBatchNorm1d()), select=["BN2"]).findings


def test_a_model_that_fails_is_said_to_fail() -> None:
    with pytest.raises(ModelError, match="the model fails on its data"):
        normwise.diagnose(_Raising(), torch.randn(8, 4), select=["BN2"])


def test_time_steps_are_examined_each() -> None:
    torch.manual_seed(0)
    model = normwise.nn.BatchNormLSTM(4, 8, batch_first=True, max_length=3)
    x = torch.randn(64, 3, 4)
    for _ in range(60):
        model(x)
    assert not normwise.diagnose(model.eval(), x, select=["BN2"]).findings
