"""What counts as the same numbers, and what doesn't."""

import math

import pytest
import torch
from torch import Tensor, nn

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
