"""Turn of a layer's gradient, against gradients that are reckoned by hand."""

import pytest
import torch
from torch import nn

from normwise.data import digits, epoch_order
from normwise.models import build
from normwise.training import AT_THE_END

measure = AT_THE_END["gradient_turn"]


def test_it_is_the_cosine_of_the_gradients_before_and_after_the_first_layer_moved() -> None:
    data = digits().to(torch.float64)
    model = build("dense_bn", data.shape, data.num_classes, norm="none").double()
    index = epoch_order(len(data.training), seed=0, epoch=0)[:512]
    images, labels = data.train_images[index].flatten(1), data.train_labels[index]
    first, last = (layer for layer in model.modules() if isinstance(layer, nn.Linear))
    with torch.no_grad():

        def gradients(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            """Return those of the first weights and of the last, by the chain rule."""
            before = images @ weight.T + first.bias
            hidden = before.relu()
            error = (last(hidden).softmax(1) - nn.functional.one_hot(labels, 10)) / len(labels)
            return ((error @ last.weight) * (before > 0)).T @ images, error.T @ hidden

        of_first, of_last = gradients(first.weight)
        moved = first.weight - 0.01 * first.weight.norm() / of_first.norm() * of_first
        expected = torch.cosine_similarity(of_last.flatten(), gradients(moved)[1].flatten(), dim=0).item()
    assert expected < 0.9999
    assert measure(model, data) == pytest.approx(expected, abs=1e-9)


def test_noise_is_the_same_before_and_after() -> None:
    data = digits()
    model = build("plain_mlp", data.shape, data.num_classes, norm="noisy_batch", depth=3)
    assert measure(model, data) == measure(model, data)
