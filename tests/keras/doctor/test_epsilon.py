"""BN403: Keras's ε of 0.001 is no fault behind weights, and is one where the inputs are far too small."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from normwise.keras import diagnose
from tests.keras.doctor.small_models import norm, samples, trained


def _behind_weights(variance: float, **settings: Any) -> tuple[Any, np.ndarray]:
    """Return a model whose BN layer gets this variance, from inputs of the order of 1."""
    weights: Any = keras.initializers.Orthogonal(variance**0.5 / 2)
    first = L.Dense(4, use_bias=False, kernel_initializer=weights)
    model = keras.Sequential([keras.Input((4,)), first, norm(**settings), L.ReLU(), L.Dense(3)])
    x = samples(64, 4)
    return trained(model, x), x


def _found(model: Any, *data: Any) -> list[str]:
    return [finding.severity for finding in diagnose(model, *data, select=["BN403"]).findings]


@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize(
    ("variance", "epsilon", "severities"),
    [
        (4e-4, 1e-3, []),  # as behind the first convolution of MNIST's network, with pixels from 0 to 1
        (5e-5, 1e-3, ["info"]),  # ε hides the variance, and a network may be trained so
        (4e-4, 1e-2, ["warning"]),  # nobody's default
    ],
)
def test_an_epsilon_behind_weights(
    variance: float, epsilon: float, severities: list[str], with_data: bool
) -> None:
    model, x = _behind_weights(variance, epsilon=epsilon)
    assert _found(model, *([x] if with_data else [])) == severities


@pytest.mark.parametrize("with_data", [False, True])
def test_an_epsilon_beside_inputs_that_are_too_small_is_a_warning(with_data: bool) -> None:
    x = 0.01 * samples(64, 4)
    model = trained(keras.Sequential([keras.Input((4,)), norm(), L.Dense(3)]), x)
    assert _found(model, *([x] if with_data else [])) == ["warning"]


@pytest.mark.parametrize("with_data", [False, True])
def test_inputs_that_are_scaled_once_more_by_the_model_are_a_warning(with_data: bool) -> None:
    """Models of keras.applications divide pixels by 255 themselves: those of MobileNetV3 and EfficientNet do."""
    x = np.random.default_rng(0).uniform(size=(16, 8, 8, 3)).astype("float32")
    first = [L.Rescaling(1 / 255), L.Conv2D(8, 3, use_bias=False)]
    layers = [keras.Input((8, 8, 3)), *first, norm(), L.ReLU(), L.Conv2D(4, 3), L.Flatten()]
    model = trained(keras.Sequential(layers), x)
    assert _found(model, *([x] if with_data else [])) == ["warning"]


def test_pooling_and_a_dense_layer_before_it_are_no_fault() -> None:
    x = np.random.default_rng(0).uniform(size=(32, 12, 12, 1)).astype("float32")
    pooled = [L.Conv2D(8, 3, activation="relu"), L.GlobalAveragePooling2D(), L.Dense(8, use_bias=False)]
    model = trained(keras.Sequential([keras.Input((12, 12, 1)), *pooled, norm(), L.ReLU(), L.Dense(3)]), x)
    assert diagnose(model).is_healthy
    assert diagnose(model, x).is_healthy
