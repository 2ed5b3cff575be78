"""Folding keeps what a model computes, before and behind every kind of layer."""

import copy
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import normwise
from tests.surgery.fold.folding import changed, fold_and_compare, randomised


def _right_behind_a_layer(model: nn.Module) -> set[str]:
    """Paths of the BN layers that are in a sequence right behind a linear layer, both called once."""
    calls = Counter(module for _, module in model.named_modules(remove_duplicate=False))
    found = set()
    sequences = [("", model), *((f"{name}.", child) for name, child in model.named_children())]
    for prefix, sequence in sequences:
        if isinstance(sequence, nn.Sequential):
            for (_, first), (name, second) in pairwise(sequence.named_children()):
                if (
                    isinstance(first, (nn.Linear, nn.modules.conv._ConvNd))
                    and isinstance(second, nn.modules.batchnorm._BatchNorm)
                    and calls[first] == calls[second] == 1
                ):
                    found.add(prefix + name)
    return found


@given(st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_networks_compute_the_same(draw_network, data: st.DataObject) -> None:
    model, x = draw_network(data, dtypes=[torch.float64])
    folded, report = fold_and_compare(model, x)
    assert _right_behind_a_layer(model) <= {change.path for change in report.changes if change.changed}
    for change in report.changes:
        layer = folded.get_submodule(change.path)
        assert isinstance(layer, nn.modules.batchnorm._BatchNorm) != change.changed
        assert change.detail


@given(st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_networks_in_float32_too(draw_network, data: st.DataObject) -> None:
    model, x = draw_network(data, dtypes=[torch.float32])
    folded, report = normwise.fold(model, x, timed=False)
    assert report.output_error <= report.tolerance
    with torch.no_grad():
        expected = model(x.clone())
        torch.testing.assert_close(
            folded(x.clone()), expected, rtol=0, atol=1e-3 * expected.abs().max().item()
        )


_CONVS: list[tuple[Callable[[], nn.Module], type[nn.Module], tuple[int, ...]]] = [
    (lambda: nn.Conv1d(4, 6, 3, padding=1), nn.BatchNorm1d, (3, 4, 7)),
    (lambda: nn.Conv2d(4, 6, 3, stride=2, groups=2, bias=False), nn.BatchNorm2d, (3, 4, 7, 6)),
    (lambda: nn.Conv3d(4, 6, 2, dilation=2), nn.BatchNorm3d, (3, 4, 5, 4, 4)),
    (lambda: nn.ConvTranspose1d(4, 6, 3, groups=2), nn.BatchNorm1d, (3, 4, 7)),
    # Grouped, where torch's own fusion fails: pain 23, https://github.com/pytorch/pytorch/issues/180995
    (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), nn.BatchNorm2d, (3, 4, 5, 4)),
    (lambda: nn.ConvTranspose3d(4, 6, 2, padding=1, bias=False), nn.BatchNorm3d, (3, 4, 3, 4, 4)),
    (lambda: nn.Linear(4, 6), nn.BatchNorm1d, (3, 4)),
    (lambda: nn.Linear(4, 6, bias=False), nn.BatchNorm1d, (3, 4)),
]


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("make", "norm", "shape"), _CONVS)
def test_behind_every_kind_of_layer(
    make: Callable[[], nn.Module], norm: type[nn.Module], shape: tuple[int, ...], affine: bool
) -> None:
    model = randomised(nn.Sequential(make(), norm(6, affine=affine)))
    folded, report = fold_and_compare(model, torch.randn(shape).double())
    kind = type(model.get_submodule("0")).__name__
    assert str(report.changes[0]) == f"1 ({norm.__name__}): folded into {kind} '0' before it"
    assert type(folded.get_submodule("1")) is nn.Identity


@pytest.mark.parametrize(
    ("layer", "folds"),
    [
        (nn.Conv2d(4, 6, 3), True),
        (nn.Conv2d(4, 6, 3, groups=2, bias=False), True),
        (nn.Conv2d(4, 6, 3, padding=1), False),
        (nn.Conv2d(4, 6, 3, padding="same"), False),
        (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), True),
        (nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), True),
        (nn.ConvTranspose2d(4, 6, 3), False),
    ],
    ids=str,
)
def test_before_a_convolution_where_its_padding_allows_it(layer: nn.Module, folds: bool) -> None:
    model = randomised(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4), copy.deepcopy(layer)))
    folded, report = fold_and_compare(model, torch.randn(3, 4, 6, 6).double())
    assert changed(report) == [folds]
    assert (type(folded.get_submodule("1")) is nn.Identity) == folds


def test_with_zeros_for_padding_a_scale_alone_can_be_folded() -> None:
    model = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4, affine=False), nn.Conv2d(4, 6, 3, padding=1))
    model.get_submodule("1").get_buffer("running_var").fill_(3)
    _, report = fold_and_compare(model.double().eval(), torch.randn(3, 4, 6, 6).double())
    assert changed(report) == [True]


def test_before_a_linear_layer() -> None:
    model = randomised(nn.Sequential(nn.Tanh(), nn.BatchNorm1d(4), nn.Linear(4, 6)))
    _, report = fold_and_compare(model, torch.randn(3, 4).double())
    assert report.changes[0].detail == "folded into Linear '2' behind it"


def test_a_chain_goes_into_one_convolution() -> None:
    model = randomised(nn.Sequential(nn.Conv1d(2, 3, 3), *[nn.BatchNorm1d(3) for _ in range(3)]))
    folded, report = fold_and_compare(model, torch.randn(3, 2, 6).double())
    assert changed(report) == [True, True, True]
    assert sum(type(layer) is nn.Identity for layer in folded.modules()) == 3


def test_a_convolution_goes_before_one_behind() -> None:
    model = randomised(nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.Conv1d(3, 2, 3)))
    _, report = fold_and_compare(model, torch.randn(3, 2, 6).double())
    assert report.changes[0].detail == "folded into Conv1d '0' before it"


def test_a_chain_goes_into_the_convolution_behind_it() -> None:
    model = randomised(nn.Sequential(nn.Tanh(), *[nn.BatchNorm1d(2) for _ in range(3)], nn.Conv1d(2, 3, 3)))
    _, report = fold_and_compare(model, torch.randn(3, 2, 6).double())
    assert {change.detail for change in report.changes} == {"folded into Conv1d '4' behind it"}


class _OverTime(nn.Module):
    """A linear layer over ``(N, L, C)``."""

    def __init__(self, channels: int, turned: bool) -> None:
        super().__init__()
        self.linear, self.norm, self.turned = nn.Linear(4, 6), nn.BatchNorm1d(channels), turned

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        return self.norm(y.transpose(1, 2)) if self.turned else self.norm(y)


@pytest.mark.parametrize(
    ("channels", "turned", "folds"), [(6, True, True), (5, False, False), (6, False, False)]
)
def test_a_linear_layer_on_three_axes_only_where_its_channels_are_the_norms(
    channels: int, turned: bool, folds: bool
) -> None:
    # Pain 23: torch.fx's own fusion is silently wrong here.
    length = 6 if (channels, turned) == (6, False) else 5
    _, report = fold_and_compare(randomised(_OverTime(channels, turned)), torch.randn(3, length, 4).double())
    assert changed(report) == [folds]
    assert folds or "another axis" in report.changes[0].detail


class _Flattened(nn.Module):
    """A linear layer over ``(N, L, C)`` and a norm over ``(N · L, C)``."""

    def __init__(self, turned: bool) -> None:
        super().__init__()
        self.linear, self.norm, self.turned = nn.Linear(4, 6), nn.BatchNorm1d(6), turned

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        y = y.transpose(1, 2) if self.turned else y
        return self.norm(y.reshape(-1, y.shape[-1])).reshape(y.shape)


@pytest.mark.parametrize("turned", [False, True])
def test_a_linear_layer_whose_positions_are_flattened(turned: bool) -> None:
    model = randomised(_Flattened(turned))
    folded, report = fold_and_compare(model, torch.randn(3, 6, 4).double())
    assert changed(report) == [not turned]
    if not turned:
        other = torch.randn(5, 2, 4).double()
        torch.testing.assert_close(folded(other), model(other))


def test_a_convolution_of_one_sample_has_its_channels_elsewhere() -> None:
    # (C, L) is no batch for Conv1d, and one for BatchNorm1d, over L.
    model = randomised(nn.Sequential(nn.Conv1d(3, 5, 1), nn.BatchNorm1d(5)))
    _, report = fold_and_compare(model, torch.randn(3, 5).double())
    assert "another axis" in report.changes[0].detail
