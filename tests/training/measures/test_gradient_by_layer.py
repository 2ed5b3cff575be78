"""The gradient of each hidden layer."""

import pytest
import torch

from normwise.data import digits, epoch_order
from normwise.models import build
from normwise.training import AT_EVERY_POINT


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_it_is_that_of_a_float64_backward_pass(norm: str) -> None:
    data = digits()
    model = build("plain_mlp", data.shape, data.num_classes, norm=norm, depth=4, init="he")
    measured = AT_EVERY_POINT["gradient_by_layer"](model, data)
    index = epoch_order(len(data.training), seed=0, epoch=0)[:128]
    reference = build("plain_mlp", data.shape, data.num_classes, norm=norm, depth=4, init="he").double()
    outputs = reference(data.train_images[index].double())
    torch.nn.functional.cross_entropy(outputs, data.train_labels[index]).backward()
    weights = [reference.get_parameter(f"hidden.{layer}.layer.weight") for layer in range(4)]
    expected = [weight.grad.norm().item() for weight in weights if weight.grad is not None]
    assert measured == pytest.approx(expected, rel=1e-4)
