"""Numbers that count as equal, and numbers that do not."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.errors import ModelError
from normwise.surgery.proof.compare import differences

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
    found = differences(at_the_kink(1), at_the_kink(-1), ((X,), {}))
    assert found.outputs < 1e-6
    assert found.gradients > 0.1
    assert found.sensitivity == pytest.approx(found.gradients, rel=1e-4)


def test_the_same_model_needs_no_excuse():
    found = differences(Honest(), Honest(), ((X,), {}))
    assert (found.outputs, found.gradients, found.left_out) == (0, 0, "")
    assert math.isnan(found.sensitivity)


def test_wrong_gradients_are_refused():
    with pytest.raises(ModelError, match=r"differ from the old one's by 5\.0e-01 of the largest"):
        differences(Honest(), Dishonest(), ((X,), {}))


def test_other_outputs_are_refused():
    with pytest.raises(ModelError, match="the model is left as it was"):
        differences(at_the_kink(1), Honest(), ((X,), {}))


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
    found = differences(old, new, ((x,), {}))
    assert found.gradients < 1e-5
    assert math.isnan(found.sensitivity)


def test_a_gradient_that_is_not_rounding_in_the_new_model_is_refused() -> None:
    x = torch.randn(16, 3, 12, 12)
    with pytest.raises(ModelError, match="numbers differ"):
        differences(biased(0, AddBias, nn.BatchNorm2d(6)), biased(0, Upwards, nn.BatchNorm2d(6)), ((x,), {}))


class Detached(nn.Linear):
    """Overwrites what autograd keeps, so that it works without gradients alone."""

    def forward(self, input: Tensor) -> Tensor:
        y = super().forward(input).exp()
        y.square()
        y.zero_().add_(1)
        return y.exp_()


def test_a_model_that_works_without_gradients_alone_is_compared_without() -> None:
    model = Detached(1, 1)
    found = differences(model, model, ((X,), {}))
    assert found.outputs == 0
    assert math.isnan(found.gradients)
    assert found.left_out.startswith(
        "training (the model itself fails: one of the variables needed for gradient"
    )


def test_a_model_that_returns_no_tensors_proves_nothing() -> None:
    class Text(nn.Module):
        def forward(self, x: Tensor) -> str:
            return "x"

    with pytest.raises(ModelError, match="has no tensors"):
        differences(Text(), Text(), ((X,), {}))


def test_a_new_model_that_fails_is_refused() -> None:
    with pytest.raises(ModelError, match="the new model fails on the example"):
        differences(nn.Linear(1, 1), nn.Linear(2, 1), ((X,), {}))


class Leaf(nn.Linear):
    """Asks a gradient of its input itself, which only a leaf allows."""

    def forward(self, input: Tensor) -> Tensor:
        input.requires_grad = True
        return super().forward(input)


def test_an_input_that_must_have_no_gradient_has_none() -> None:
    model = Leaf(1, 1)
    found = differences(model, model, ((X,), {}))
    assert (found.outputs, found.gradients) == (0, 0)
    assert found.left_out.startswith("gradients of the inputs (the model itself fails: you can only change")
    with pytest.raises(ModelError, match="numbers differ"):
        differences(model, Halved(model), ((X,), {}))


class Halved(nn.Module):
    """The same outputs, with half of the gradient, in training."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.weight, self.bias, self.model = model.weight, model.bias, [model]

    def forward(self, x: Tensor) -> Tensor:
        y = self.model[0](x)
        return Lying.apply(y) if self.training else y


def test_a_mode_in_which_the_model_fails_is_said() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2))
    found = differences(model, model, ((X,), {}))
    assert found.left_out.startswith(
        "training (the model itself fails: Expected more than 1 value per channel"
    )


class Cancelling(nn.Module):
    """Loses most digits of its output, as the given model does."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.weight, self.shift = nn.Parameter(torch.tensor(0.1)), shift

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight + self.shift) - self.shift


def test_outputs_that_rounding_has_spoilt_are_held_to_those_in_float64() -> None:
    x = torch.linspace(0.1, 1, 10)
    found = differences(Cancelling(10_000.0), Cancelling(3_000.0), ((x,), {}))
    assert found.outputs > 3.5e-4
    with pytest.raises(ModelError, match="numbers differ"):
        differences(Cancelling(10_000.0), Cancelling(100_000.0), ((x,), {}))


class Caching(nn.Linear):
    """Keeps a tensor of its forward pass in evaluation, as LeViT does."""

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.cache: dict[str, Tensor] = {}

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            self.cache.setdefault("weight", self.weight * 2)
        return super().forward(input) + self.cache.get("weight", 0)


def test_a_model_that_keeps_tensors_can_be_compared_and_copied_afterwards() -> None:
    model = Caching()
    found = differences(model, model, ((X,), {}))
    assert (found.outputs, found.gradients, found.left_out) == (0, 0, "")
    assert model.cache == {}
    copy.deepcopy(model)
