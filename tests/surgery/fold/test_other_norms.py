"""Norms that are not torch's own: ours with all they do, frozen ones, subclasses."""

import pickle

import pytest
import torch
from torch import Tensor, nn

import normwise
from tests.surgery.fold.folding import changed, fold_and_compare, randomised


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), normwise.nn.BatchNorm2d(3, activation="relu")

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.norm(self.conv(x), residual=x, mask=mask)


@pytest.mark.parametrize("masked", [False, True])
def test_what_our_layers_do_besides_stays(masked: bool) -> None:
    model, x = randomised(_Residual()), torch.randn(2, 3, 4, 5).double()
    example = {"x": x} | ({"mask": torch.rand(2, 4, 5) < 0.5} if masked else {})
    folded, report = normwise.fold(model, example, timed=False)
    assert report.changes[0].detail.endswith("; ActivationAfterFold(activation='relu') stays in its place")
    with torch.no_grad():
        torch.testing.assert_close(folded(**example), model(**example))
    assert "activation='relu'" in repr(pickle.loads(pickle.dumps(folded)))


class FrozenBatchNorm2d(nn.Module):
    """As vision libraries have it."""

    def __init__(self, channels: int, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.rand(channels, dtype=torch.float64) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias, mean, var = (
            value.reshape(-1, 1, 1) for value in self._buffers.values() if value is not None
        )
        return self.factor * (x - mean) * (var + 1e-5).rsqrt() * weight + bias


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_the_frozen_layers_of_others_if_they_only_scale_and_shift(factor: float) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 2), FrozenBatchNorm2d(4, factor)).double().eval()
    _, report = fold_and_compare(model, torch.randn(2, 3, 5, 5).double())
    assert changed(report) == [factor == 1.0]


@pytest.mark.parametrize("kind", ["frozen", "synchronised", "subclass without a forward of its own"])
def test_other_kinds_of_batch_norm(kind: str) -> None:
    class Named(nn.BatchNorm2d):
        pass

    layer = {"frozen": nn.BatchNorm2d(4), "synchronised": nn.SyncBatchNorm(4)}.get(kind, Named(4))
    model = randomised(nn.Sequential(nn.Conv2d(3, 4, 2), layer))
    if kind == "frozen":
        normwise.freeze(model)
        model.train()
    _, report = fold_and_compare(model, torch.randn(2, 3, 5, 5).double())
    assert changed(report) == [True]
