"""What counts as the same numbers, and what doesn't."""

import math

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.errors import ModelError
from normwise.surgery.verify import differences

X = torch.ones(1, 1)


def at_the_kink(side: float) -> nn.Sequential:
    """Two units, the second of which is a millionth of its input above its kink, or below."""
    layer = nn.Linear(1, 2)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.copy_(torch.tensor([1.0, -1.0 + side * 2.0**-20]))
    return nn.Sequential(layer, nn.ReLU())


class Lying(torch.autograd.Function):
    """The identity, with half of its gradient."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, *grad_outputs):
        return grad_outputs[0] / 2


class Honest(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        nn.init.ones_(self.layer.weight)
        nn.init.ones_(self.layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.layer(x))


class Dishonest(Honest):
    def forward(self, x: Tensor) -> Tensor:
        return Lying.apply(super().forward(x))


def test_a_unit_that_changes_sides_at_its_kink_is_rounding():
    outputs, gradients, sensitivity = differences(at_the_kink(1), at_the_kink(-1), (X,), {})
    assert outputs < 1e-6
    assert gradients > 0.1
    assert sensitivity == pytest.approx(gradients, rel=1e-4)


def test_the_same_model_needs_no_excuse():
    outputs, gradients, sensitivity = differences(Honest(), Honest(), (X,), {})
    assert (outputs, gradients) == (0, 0)
    assert math.isnan(sensitivity)


def test_wrong_gradients_are_refused():
    with pytest.raises(ModelError, match=r"differ from the old one's by 5\.0e-01 of the largest"):
        differences(Honest(), Dishonest(), (X,), {})


def test_other_outputs_are_refused():
    with pytest.raises(ModelError, match="the model is left as it was"):
        differences(at_the_kink(1), Honest(), (X,), {})


class AddBias(nn.Module):
    """Adds what BN takes away again, so that the exact gradient is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.linspace(-1, 1, 6))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias[:, None, None]


class Upwards(AddBias):
    """As the other, but that the gradient of its bias is a constant."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + Constant.apply(self.bias)[:, None, None]


class Constant(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.zeros_like(x)

    @staticmethod
    def backward(ctx, *grad_outputs):
        return torch.ones_like(grad_outputs[0])


def biased(seed: int, kind: type[AddBias], norm: nn.Module) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), kind(), norm, nn.Flatten(), nn.Linear(600, 3))


@pytest.mark.parametrize("seed", range(10))
def test_a_gradient_that_is_all_rounding_says_nothing(seed: int) -> None:
    x = torch.randn(16, 3, 12, 12)
    old, new = (biased(seed, AddBias, norm(6)) for norm in (nn.BatchNorm2d, normwise.nn.BatchNorm2d))
    _, gradients, sensitivity = differences(old, new, (x,), {})
    assert gradients < 1e-5
    assert math.isnan(sensitivity)


def test_a_gradient_that_is_not_rounding_in_the_new_model_is_refused() -> None:
    x = torch.randn(16, 3, 12, 12)
    with pytest.raises(ModelError, match="numbers differ"):
        differences(biased(0, AddBias, nn.BatchNorm2d(6)), biased(0, Upwards, nn.BatchNorm2d(6)), (x,), {})


class Detached(nn.Linear):
    """Overwrites what autograd keeps, so that it works without gradients alone."""

    def forward(self, input: Tensor) -> Tensor:
        y = super().forward(input).exp()
        y.square()
        y.zero_().add_(1)
        return y.exp_()


def test_a_model_that_works_without_gradients_alone_is_compared_without() -> None:
    model = Detached(1, 1)
    outputs, gradients, _ = differences(model, model, (X,), {})
    assert outputs == 0
    assert math.isnan(gradients)


def test_a_model_that_returns_no_tensors_proves_nothing() -> None:
    class Text(nn.Module):
        def forward(self, x: Tensor) -> str:
            return "x"

    with pytest.raises(ModelError, match="has no tensors"):
        differences(Text(), Text(), (X,), {})


def test_a_new_model_that_fails_is_refused() -> None:
    with pytest.raises(ModelError, match="the new model fails on the example"):
        differences(nn.Linear(1, 1), nn.Linear(2, 1), (X,), {})
