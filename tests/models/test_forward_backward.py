"""Every network with every norm: logits of the right shape, and a gradient for each parameter."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from normwise.models import TASKS, build

#: Networks of layers that each see a whole image.
IMAGE_MODELS = [name for name in TASKS["image"] if name != "row_lstm"]
SHAPES = [(1, 28, 28), (3, 32, 32), (2, 11, 14)]
#: Those with no normalised dense layer, which instance norm cannot do.
WITH_INSTANCE_NORM = ["mnist_cnn", "conv_pair", "cnn_32", "resnet"]
PAIRS = [(model, norm) for model in IMAGE_MODELS for norm in ("batch", "none", "layer", "group")]
PAIRS += [(model, "instance") for model in WITH_INSTANCE_NORM]


def _options(model: str) -> dict[str, Any]:
    return {"depth": 8} if model == "resnet" else {}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("model", "norm"), PAIRS)
def test_logits_and_gradients(model: str, norm: str, shape: tuple[int, int, int]) -> None:
    network = build(model, shape, 7, norm=norm, **_options(model))
    torch.manual_seed(0)
    logits = network(torch.randn(4, *shape))
    assert logits.shape == (4, 7)
    F.cross_entropy(logits, torch.tensor([0, 3, 6, 3])).backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert [name for name, grad in gradients.items() if grad is None or not grad.isfinite().all()] == []


@pytest.mark.parametrize(("model", "norm"), PAIRS)
def test_every_weight_matters(model: str, norm: str) -> None:
    # Biases may not: BN cancels them.
    network = build(model, (2, 11, 14), 7, norm=norm, **_options(model))
    torch.manual_seed(0)
    F.cross_entropy(network(torch.randn(4, 2, 11, 14)), torch.tensor([0, 3, 6, 3])).backward()
    weights = {name: parameter for name, parameter in network.named_parameters() if name.endswith("weight")}
    assert [name for name, weight in weights.items() if weight.grad is None or not weight.grad.any()] == []


@pytest.mark.parametrize(("model", "norm"), PAIRS)
def test_in_evaluation_a_sample_does_not_depend_on_the_others(model: str, norm: str) -> None:
    network = build(model, (2, 11, 14), 7, norm=norm, **_options(model)).double().eval()
    images = torch.randn(3, 2, 11, 14, dtype=torch.float64)
    with torch.no_grad():
        alone = torch.cat([network(image[None]) for image in images])
        torch.testing.assert_close(network(images), alone)


@pytest.mark.parametrize("model", IMAGE_MODELS)
def test_in_training_bn_makes_a_sample_depend_on_the_others(model: str) -> None:
    network = build(model, (2, 11, 14), 7, **_options(model)).double()
    images = torch.randn(3, 2, 11, 14, dtype=torch.float64)
    with torch.no_grad():
        first_two, all_three = network(images[:2]), network(images)[:2]
    assert not torch.allclose(first_two, all_three)
