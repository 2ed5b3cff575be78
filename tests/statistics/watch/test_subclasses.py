"""A watch records what a subclass gives to batch_norm, to the bit of an unwatched training, and leaves nothing."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normwise

# Subclasses name their arguments as they like.
# pyright: reportIncompatibleMethodOverride=false
X = torch.randn(30, 6, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2, 3, 4]) + 10


class Transposed(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class Ours(normwise.nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class OursMasked(normwise.nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2), mask=x[..., 0] > 10).transpose(1, 2)


class Selected(nn.BatchNorm1d):
    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        return super().forward(x[keep])


class Twice(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        first, second = x.transpose(1, 2).split(15)
        return torch.cat([super().forward(first), super().forward(second)])


class Untracked(Transposed):
    def __init__(self, channels: int) -> None:
        super().__init__(channels, track_running_stats=False)


class Masked(nn.Module):
    """Gives the mask by its position."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = Selected(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(x, x[..., 0] > 10)


def _recorded(model: nn.Module, x: Tensor = X) -> Any:
    with normwise.watch(model, every=1) as recording:
        model(x).square().sum().backward()
    (layer,) = recording.points[0].layers.values()
    return layer


REAL = X[X[..., 0] > 10]


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (nn.Sequential(Transposed(4)), X.flatten(0, 1)),
        (nn.Sequential(Ours(4)), X.flatten(0, 1)),
        (nn.Sequential(OursMasked(4)), REAL),
        (Masked(), REAL),
        (nn.Sequential(Twice(4)), X[:15].flatten(0, 1)),
        (nn.Sequential(Untracked(4)), X.flatten(0, 1)),
        (Transposed(4), X.flatten(0, 1)),
    ],
    ids=["transposed", "ours", "ours masked", "mask by position", "twice", "untracked", "the model itself"],
)
def test_what_it_normalises_is_recorded(model: nn.Module, values: Tensor) -> None:
    layer = _recorded(copy.deepcopy(model))
    mean, var = values.mean(0), values.var(0)
    assert layer.values == len(values)
    assert layer.batch_mean.greatest == pytest.approx(mean.max().item(), rel=1e-5)
    assert layer.batch_mean.least == pytest.approx(mean.min().item(), rel=1e-5)
    assert layer.batch_var.greatest == pytest.approx(var.max().item(), rel=1e-5)
    assert layer.weight_grad >= 0


class Keyword(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bn = Transposed(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(x=x)


def test_a_call_by_keyword_is_recorded() -> None:
    assert _recorded(Keyword()).batch_mean.greatest == pytest.approx(X.mean((0, 1)).max().item(), rel=1e-5)


@pytest.mark.parametrize("kind", [Transposed, Ours, OursMasked, Twice])
@pytest.mark.parametrize("alone", [False, True], ids=["in a model", "the model itself"])
def test_training_gives_the_same_bits(kind: type[nn.Module], alone: bool) -> None:
    def trained(watched: bool) -> list[Tensor]:
        torch.manual_seed(0)
        # 20,000 elements: the kernels are used where they are there.
        model, x = kind(4) if alone else nn.Sequential(kind(4)), torch.randn(30, 200, 4)
        optimiser = torch.optim.SGD(model.parameters(), 0.1)

        def steps() -> None:
            for _ in range(3):
                optimiser.zero_grad()
                model(x).square().mean().backward()
                optimiser.step()

        if watched:
            with normwise.watch(model, every=2):
                steps()
        else:
            steps()
        return [*model.state_dict().values(), torch.get_rng_state()]

    assert all(map(torch.equal, trained(False), trained(True)))


@pytest.mark.parametrize("alone", [False, True], ids=["in a model", "the model itself"])
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left(alone: bool, fails: bool) -> None:
    layer = Transposed(4)
    model = layer if alone else nn.Sequential(layer, nn.Linear(4, 2))
    with normwise.watch(model, every=1):
        if fails:
            with pytest.raises((RuntimeError, ValueError)):
                model(X[..., :3])
        model(X)
        copied = copy.deepcopy(model)
    assert "forward" not in vars(layer)
    assert not layer._forward_hooks
    assert torch._C._len_torch_function_stack() == 0
    before = layer.running_mean
    assert before is not None
    kept = before.clone()
    copied(X)  # a copy that was made meanwhile moves its own statistics
    assert torch.equal(before, kept)


class ByHand(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(0)) / (x.var(0) + self.eps).sqrt()


def test_that_it_cannot_be_seen_is_said() -> None:
    model = nn.Sequential(ByHand(4), nn.BatchNorm1d(6))
    with (
        pytest.warns(UserWarning, match="watch can't see what ByHand '0' normalises"),
        normwise.watch(model, every=1) as recording,
    ):
        model(X)
    assert list(recording.points[0].layers) == ["1"]
