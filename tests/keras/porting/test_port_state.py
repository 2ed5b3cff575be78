"""State dicts, which hold no settings and can't be evaluated."""

from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import nn

import normwise as nw
from normwise.errors import ArgumentError, ModelError
from normwise.porting import epsilons_of, port_to_state
from tests.keras.porting.mlp import keras_mlp, mlp, outputs

L = keras.layers


def test_a_state_dict_is_moved_by_name_and_said_not_to_be_proven() -> None:
    source, target = mlp().eval(), keras_mlp()
    report = nw.port(source.state_dict(), target, eps=1e-5)
    assert "not proven: a state dict can't be evaluated" in str(report)
    x = torch.randn(3, 4)
    with torch.no_grad():
        expected = source(x).numpy()
    np.testing.assert_allclose(outputs(target, x), expected, rtol=1e-4, atol=1e-5)


def test_a_state_dict_says_no_epsilon_so_that_somebody_must() -> None:
    target, state = keras_mlp(), mlp().state_dict()
    before = target.get_layer("norm").get_weights()
    said = r"the outputs of 'norm' would differ: pass eps=1e-05 if .* \(those in Keras have 0\.001\)"
    with pytest.raises(ArgumentError, match=said):
        nw.port(state, target)
    np.testing.assert_array_equal(target.get_layer("norm").get_weights(), before)
    report = nw.port(state, target, eps={"norm": 0.25})
    assert target.get_layer("norm").epsilon == 0.25
    assert "norm -> norm (batch_norm): moved; ε 0.001 became 0.25" in str(report)
    assert "a state dict holds no momentum: the layers in Keras keep theirs, 0.99" in report.notes


@pytest.mark.parametrize(
    ("eps", "settings", "error", "said"),
    [
        (
            {"out": 1.0},
            {},
            ArgumentError,
            "eps= names 'out'; the layers of the state dict that have an ε are norm",
        ),
        (-1.0, {}, ArgumentError, r"eps= must be a number of at least 0, got -1\.0"),
        (1e-5, {"convert_settings": False}, ModelError, "ε is 1e-05 in the source and 0.001 in the target"),
    ],
)
def test_an_epsilon_that_can_t_be_is_named(
    eps: Any, settings: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        nw.port(mlp().state_dict(), keras_mlp(), eps=eps, **settings)


def test_a_model_says_its_own_epsilon() -> None:
    with pytest.raises(ArgumentError, match="eps= is for a state dict"):
        nw.port(mlp(), keras_mlp(), eps=1e-5)
    assert epsilons_of(mlp()) == {"norm": 1e-5}
    assert epsilons_of(keras_mlp()) == {"norm": 1e-3}


def test_a_state_dict_of_a_keras_model_says_what_it_lacks() -> None:
    state, report = port_to_state(keras_mlp(), batch_size=16)
    assert "norm -> norm (batch_norm): moved; ε 0.001, momentum 0.01" in str(report)
    torch.testing.assert_close(state["norm.running_var"], torch.full((5,), 16 / 15))


def test_without_an_example_features_behind_a_flatten_can_t_be_ordered() -> None:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.flatten, self.out = L.Conv2D(3, 2), L.Flatten(), L.Dense(2)

        def call(self, x: Any) -> Any:
            return self.out(self.flatten(self.conv(x)))

    model, images = Net(), np.random.default_rng(0).normal(size=(2, 3, 3, 2)).astype("float32")
    expected = keras.ops.convert_to_numpy(model(images))
    with pytest.raises(ArgumentError, match="the Keras model does not say which inputs it takes"):
        port_to_state(model)
    state, _ = port_to_state(model, example=images)
    network = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(12, 2))
    network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))
    with torch.no_grad():
        found = network(torch.tensor(images).movedim(-1, 1))
    np.testing.assert_allclose(found.numpy(), np.array(expected), rtol=1e-4, atol=1e-5)


def test_a_state_dict_is_permuted_behind_a_flatten_too() -> None:
    source = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(48, 3))
    target = keras.Sequential([keras.Input((5, 6, 2)), L.Conv2D(4, 3), L.Flatten(), L.Dense(3)])
    nw.port(source.state_dict(), target, by="order")
    x = torch.randn(2, 2, 5, 6)
    with torch.no_grad():
        np.testing.assert_allclose(outputs(target, x.movedim(1, -1)), source(x).numpy(), rtol=1e-4, atol=1e-5)
