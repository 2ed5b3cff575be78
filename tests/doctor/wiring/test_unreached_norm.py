"""BN106: layers that nothing calls."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise


class _Unused(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.used, self.unused = nn.BatchNorm1d(4), norm

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


class _ByHand(nn.Module):
    """A model that uses the tensors of a layer, and never calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.BatchNorm1d(4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        norm = self.norm
        args = (norm.running_mean, norm.running_var, norm.weight, norm.bias, self.training)
        return F.batch_norm(self.first(x), *args)


class _Sometimes(nn.Module):
    """A model with a layer that only some batches reach."""

    def __init__(self) -> None:
        super().__init__()
        self.always, self.sometimes = nn.BatchNorm1d(4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.always(x)
        return self.sometimes(x) if len(x) < 16 else x


def _severities(model: nn.Module, sizes: tuple[int, ...] = (16,)) -> list[str]:
    data = [torch.randn(size, 4) for size in sizes]
    return [finding.severity for finding in normwise.diagnose(model, data, select=["BN106"]).findings]


def _trained(norm: nn.Module) -> nn.Module:
    for _ in range(10):
        norm(torch.randn(16, 4) + 1)
    return norm


def test_a_new_layer_that_nothing_calls_is_found() -> None:
    assert _severities(_Unused(nn.BatchNorm1d(4))) == ["warning"]
    assert _severities(_Unused(nn.BatchNorm1d(4, track_running_stats=False))) == ["warning"]


def test_a_layer_that_was_used_before_is_a_note() -> None:
    assert _severities(_Unused(_trained(nn.BatchNorm1d(4)))) == ["info"]
    frozen = nn.BatchNorm1d(4)
    normwise.freeze(frozen)
    assert _severities(_Unused(frozen)) == ["info"]


@pytest.mark.parametrize("model", [_ByHand(), _Unused(nn.LazyBatchNorm1d())])
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_a_layer_that_is_used_by_hand_or_has_no_channels_yet_is_left(model: nn.Module) -> None:
    assert _severities(model) == []


def test_a_layer_counts_as_reached_where_any_batch_reaches_it() -> None:
    assert _severities(_Sometimes(), (16, 8)) == []
    assert _severities(_Sometimes(), (16, 16)) == ["warning"]
