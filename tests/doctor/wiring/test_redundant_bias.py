"""BN101: biases that a BN layer cancels, and those that it does not."""

import pytest
import torch
from torch import Tensor, nn

import normwise


class _Sequence(nn.Module):
    """A linear layer, and BN over its features or over its time steps."""

    def __init__(self, *, over_features: bool) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(4, 6), nn.BatchNorm1d(6)
        self.over_features = over_features

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.linear(x)
        return self.norm(hidden.transpose(1, 2) if self.over_features else hidden).sum((1, 2))


class _Twice(nn.Module):
    """A linear layer that is called twice, once without BN behind."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(self.linear(x).relu()))


def _tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 4))
    model[3].bias = model[0].bias
    return model


def _frozen_bias() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    model[0].bias.requires_grad_(False)
    return model


def _left_in_evaluation() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    model[1].eval()
    return model


def _frozen_norm() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6))
    normwise.freeze(model)
    return model


def _found(model: nn.Module, x: Tensor) -> list[str]:
    diagnosis = normwise.diagnose(model, [x], select=["BN101"])
    return [symptom.path for finding in diagnosis.findings for symptom in finding.symptoms]


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4)), (8, 4, 6, 6)),
        (nn.Sequential(nn.ConvTranspose2d(4, 6, 3), nn.BatchNorm2d(6)), (8, 4, 6, 6)),
        (nn.Sequential(nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6)), (8, 4, 6)),
        (nn.Sequential(nn.Conv2d(4, 6, 6), nn.Flatten(), nn.BatchNorm1d(6)), (8, 4, 6, 6)),
        (nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, affine=False)), (8, 4)),
        (nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, track_running_stats=False)), (8, 4)),
    ],
)  # fmt: skip
def test_a_bias_before_a_norm_is_found(model: nn.Module, shape: tuple[int, ...]) -> None:
    assert len(_found(model, torch.randn(shape))) == 1


def test_a_bias_is_found_where_the_features_are_moved_to_the_channels() -> None:
    assert _found(_Sequence(over_features=True), torch.randn(8, 6, 4)) == ["norm"]


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (_Sequence(over_features=False), (8, 6, 4)),
        (nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (2, 3)), nn.BatchNorm1d(2)), (8, 4)),
        (nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.BatchNorm1d(6)), (8, 4)),
        (nn.Sequential(nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6)), (8, 4)),
        (_Twice(), (8, 4)),
        (_tied(), (8, 4)),
        (_frozen_bias(), (8, 4)),
        (_left_in_evaluation(), (8, 4)),
        (_frozen_norm(), (8, 4)),
    ],
    ids=[
        "other axis",
        "split",
        "activation",
        "no bias",
        "twice",
        "tied",
        "frozen",
        "evaluation",
        "frozen norm",
    ],
)
def test_a_bias_that_counts_is_left(model: nn.Module, shape: tuple[int, ...]) -> None:
    assert _found(model, torch.randn(shape)) == []
