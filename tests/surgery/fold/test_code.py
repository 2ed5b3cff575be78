"""Folding depends on the code around layers: shapes, subclasses, loops, and code that is not followed."""

import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

import normwise
from normwise.errors import ArgumentError

X = torch.randn(2, 4, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


class Iterated(nn.Module):
    def __init__(self, container: Any) -> None:
        super().__init__()
        self.blocks = container(*[Block(), Block()])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Doubted(Iterated):
    """Blocks in a loop that can't be followed."""

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x) if x.sum() > -1e6 else x
        return x


class Conv1x1(nn.Conv2d):
    """A constructor of its own, and a member that has nothing to do with calls."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 1)

    def reset_parameters(self) -> None:
        super().reset_parameters()


class Scaled(nn.Conv2d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return 2 * super()._conv_forward(input, weight, bias)


class Padded(nn.Conv2d):
    """Pads by itself, as TensorFlow does."""

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(F.pad(input, [0, 1, 0, 1]), self.weight, self.bias, self.stride)


class Standardised(nn.Conv2d):
    """Normalises its weight, so that scaling that does nothing."""

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.weight / self.weight.std((1, 2, 3), keepdim=True), self.bias)


class Casting(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        if input.sum() == float("inf"):  # which torch.fx can't follow
            return input
        return super().forward(input.to(self.weight.dtype))


class Shapes(nn.Module):
    """A tensor of which others take the shape, type or device alone."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.bn = nn.Linear(6, 6), nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x)
        other = x.new_zeros(1) + torch.zeros_like(x)
        return self.bn(x.flatten(0, 2)).reshape_as(x).view_as(x).to(x.dtype) + other


class Reads(nn.Module):
    """A tensor whose values others read."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.bn = nn.Linear(6, 6), nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        return self.bn(y.flatten(0, 2)).reshape_as(y) + x.reshape_as(y) * y.expand_as(x)


def _randomised(model: nn.Module) -> Any:
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for name in ("running_mean", "weight", "bias"):
                nn.init.normal_(getattr(module, name))
            if not parametrize.is_parametrized(module):
                nn.init.uniform_(module.get_buffer("running_var"), 0.5, 2)
    return model.double().eval()


def _folded(model: nn.Module, x: Tensor = X) -> tuple[list[bool], str]:
    new, report = normwise.fold(model, x, timed=False)
    with torch.no_grad():
        for other in (X, X + 20):
            torch.testing.assert_close(new(other), model(other))
    return [change.changed for change in report.changes], report.changes[0].detail


@pytest.mark.parametrize("container", [nn.Sequential, lambda *blocks: nn.ModuleList(blocks)])
@pytest.mark.parametrize("kind", [Iterated, Doubted])
def test_blocks_of_a_container_that_is_iterated_are_folded(kind: Any, container: Any) -> None:
    assert _folded(_randomised(kind(container)))[0] == [True, True]


def test_a_subclass_with_a_constructor_of_its_own_is_what_its_parent_is() -> None:
    assert _folded(_randomised(nn.Sequential(Conv1x1(4), nn.BatchNorm2d(4)))) == (
        [True],
        "folded into Conv1x1 '0' before it",
    )


def test_a_subclass_that_computes_otherwise_is_left() -> None:
    assert _folded(_randomised(nn.Sequential(Scaled(4, 4, 1), nn.BatchNorm2d(4))))[0] == [False]


@pytest.mark.parametrize("bias", [True, False])
def test_a_forward_of_its_own_is_proven_on_numbers(bias: bool) -> None:
    conv = nn.Sequential(Padded(4, 4, 2, bias=bias), nn.BatchNorm2d(4), nn.ReLU())
    assert _folded(_randomised(conv)) == ([True], "folded into Padded '0' before it")
    linear = nn.Sequential(nn.Flatten(), Casting(36 * 4, 5, bias=bias), nn.BatchNorm1d(5))
    assert _folded(_randomised(linear), X)[0] == [True]


def test_one_that_does_not_scale_as_its_weights_is_left() -> None:
    model = _randomised(nn.Sequential(Standardised(4, 4, 1), nn.BatchNorm2d(4)))
    assert _folded(model)[0] == [False]


def test_nothing_is_folded_into_one_behind() -> None:
    model = _randomised(nn.Sequential(nn.BatchNorm2d(4), Padded(4, 4, 1)))
    assert _folded(model)[0] == [False]


def test_users_of_a_shape_alone_are_no_users() -> None:
    assert _folded(_randomised(Shapes())) == ([True], "folded into Linear 'fc' before it")


def test_users_of_values_are() -> None:
    changed, detail = _folded(_randomised(Reads()))
    assert changed == [False]
    assert "the output of Linear 'fc' is used in 2 places" in detail


class Opaque(nn.Module):
    """A block, and code that can't be followed."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))

    def rare(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(x)
        return y + self.rare(x) if x.mean() > 10 else y


class UsesTheConvolution(Opaque):
    def rare(self, x: Tensor) -> Tensor:
        return self.block[0](x)


class UsesTheWeight(Opaque):
    def rare(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.block[0].weight, padding=1)  # pyright: ignore[reportCallIssue,reportArgumentType]


class UsesAllOfIt(Opaque):
    def rare(self, x: Tensor) -> Tensor:
        return self.block(x)


class DrawsToDecide(Opaque):
    def forward(self, x: Tensor) -> Tensor:
        y = self.block(x)
        return y + self.block[0](x) if random.random() < 1e-9 else y


@pytest.mark.parametrize("kind", [UsesTheConvolution, UsesTheWeight, DrawsToDecide])
def test_a_layer_that_rare_code_may_use_alone_is_left(kind: Any) -> None:
    changed, detail = _folded(_randomised(kind()))
    assert changed == [False]
    assert "code that can't be followed may use it or Conv2d 'block.0' alone" in detail


@pytest.mark.parametrize("kind", [Opaque, UsesAllOfIt])
def test_a_block_that_rare_code_uses_as_a_whole_is_folded(kind: Any) -> None:
    assert _folded(_randomised(kind()))[0] == [True]


class _Triple(nn.Module):
    def forward(self, value: Tensor) -> Tensor:
        return value.exp() * 3


@pytest.mark.parametrize(
    "example", [X, torch.zeros_like(X), torch.ones_like(X)], ids=["random", "zeros", "ones"]
)
@pytest.mark.parametrize("name", ["weight", "bias", "running_mean", "running_var"])
def test_parametrized_batch_norm_is_left(name: str, example: Tensor) -> None:
    model = _randomised(nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)))
    parametrize.register_parametrization(model[1], name, _Triple())
    changed, detail = _folded(model.eval(), example)
    assert changed == [False]
    assert f"its {name} is computed by a parametrization" in detail


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_an_example_that_proves_nothing_is_refused(value: float) -> None:
    with pytest.raises(ArgumentError, match="without one finite number, on which nothing can be compared"):
        normwise.fold(_randomised(nn.Sequential(nn.Conv2d(4, 4, 3))), torch.full_like(X, value))


def test_a_model_that_writes_into_its_input_is_timed_on_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Halves(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.detach().abs().max())
            return x.mul_(0.5)

    model = _randomised(nn.Sequential(Halves(), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)))
    monkeypatch.setattr("normwise.surgery.proof.speedup._SECONDS", 0.01)
    x = X.clone()
    normwise.fold(model, x)
    assert torch.equal(x, X)
    largest = [value.item() for value in seen if isinstance(value, Tensor)]
    # The calls that find out how long one call takes may be made on the same tensors.
    assert largest.count(X.abs().max().item()) > len(largest) - 8
