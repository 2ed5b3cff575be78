"""Quantities that a run can measure besides its accuracy."""

from typing import Any

import pytest
import torch

from normwise.data import LabelledData, digits, load_data
from normwise.models import build
from normwise.training import AT_EVERY_POINT, AT_THE_END


def _trained_a_little(name: str, norm: str, **options: Any) -> torch.nn.Module:
    data = digits()
    model = build(name, data.shape, data.num_classes, norm=norm, **options)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(20):
        batch = slice(50 * step, 50 * (step + 1))
        torch.nn.functional.cross_entropy(
            model(data.train_images[batch]), data.train_labels[batch]
        ).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def _state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", [*AT_EVERY_POINT, *AT_THE_END])
def test_measuring_changes_nothing(name: str) -> None:
    data: LabelledData = digits()
    model = _trained_a_little("dense_bn", "batch")
    if name in ("padded_accuracy", "gain_accuracy"):
        data = load_data("speech", "tones", loudness=name == "gain_accuracy").subset(60, 40)
        model = build("speech_lstm", (40,), 10, norm="batch")
    before, modes = _state(model), [module.training for module in model.modules()]
    (AT_EVERY_POINT | AT_THE_END)[name](model, data)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())


def test_percentiles_are_those_of_the_last_activations_input() -> None:
    model, data = _trained_a_little("ioffe_mlp", "batch"), digits()
    with torch.no_grad():
        x = data.test_images.flatten(1)
        for path in ("hidden.0", "hidden.1", "hidden.2.layer", "hidden.2.norm"):
            x = model.eval().get_submodule(path)(x)
    expected = torch.quantile(x[:, 0].double(), torch.tensor([0.15, 0.5, 0.85], dtype=torch.float64))
    assert AT_EVERY_POINT["input_percentiles"](model, data) == pytest.approx(expected.tolist(), rel=1e-4)


def test_recomputed_statistics_correct_wrong_running_ones() -> None:
    model, data = _trained_a_little("dense_bn", "batch"), digits()
    healthy = AT_THE_END["recomputed_accuracy"](model, data)
    model.get_buffer("hidden.norm.running_mean").fill_(50)
    assert AT_THE_END["recomputed_accuracy"](model, data) == healthy > 0.8


def test_nothing_to_recompute_without_bn() -> None:
    assert AT_THE_END["recomputed_accuracy"](_trained_a_little("dense_bn", "none"), digits()) is None


def test_outputs_depend_on_companions_with_batch_statistics_alone() -> None:
    measured = AT_THE_END["batch_dependence"](_trained_a_little("dense_bn", "batch"), digits())
    assert measured["running"]["change"] < 1e-5
    assert measured["running"]["flipped"] == 0
    assert measured["batch"]["change"] > 0.1


@pytest.mark.parametrize(("norm", "least", "most"), [("batch", 0, 1e-5), ("none", 0.1, 1e3)])
def test_a_bias_has_a_gradient_unless_bn_cancels_it(norm: str, least: float, most: float) -> None:
    assert least <= AT_THE_END["bias_gradient"](_trained_a_little("dense_bn", norm), digits()) <= most
