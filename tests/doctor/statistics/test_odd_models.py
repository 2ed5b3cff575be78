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


def _models() -> list[nn.Module]:
    odd = nn.BatchNorm1d(4)
    odd.momentum = "much"  # type: ignore[assignment]
    broken = nn.BatchNorm1d(4)
    broken.register_buffer("running_var", torch.full((4,), torch.nan))
    return [
        nn.BatchNorm1d(4, track_running_stats=False),
        nn.BatchNorm1d(4, affine=False),
        nn.LazyBatchNorm1d(),
        normwise.nn.BatchNorm1d(4),
        odd,
        broken,
    ]


@pytest.mark.parametrize("model", _models(), ids=str)
@pytest.mark.parametrize("kind", ["none", "usual", "one sample", "constant", "nan", "infinite"])
def test_nothing_is_raised(model: nn.Module, kind: str) -> None:
    x = {
        "usual": torch.randn(8, 4), "one sample": torch.randn(1, 4), "constant": torch.zeros(8, 4),
        "nan": torch.full((8, 4), torch.nan), "infinite": torch.full((8, 4), torch.inf), "none": None,
    }[kind]  # fmt: skip
    normwise.diagnose(nn.Sequential(model).eval(), x, select=["BN2"])


def test_a_model_that_fails_is_said_to_fail() -> None:
    with pytest.raises(ModelError, match="the model fails on its data"):
        normwise.diagnose(_Raising(), torch.randn(8, 4), select=["BN2"])


def test_time_steps_are_examined_each() -> None:
    torch.manual_seed(0)
    model = normwise.nn.recurrent.BatchNormLSTM(4, 8, max_steps=3, batch_first=True)
    x = torch.randn(64, 3, 4)
    for _ in range(60):
        model(x)
    assert not normwise.diagnose(model.eval(), x, select=["BN2"]).findings
