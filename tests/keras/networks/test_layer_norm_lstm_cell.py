"""The layer-normalised LSTM cell against its equations in float64, and against the torch layer."""

from typing import Any

import keras
import numpy as np
import pytest
import torch

from normwise.keras.networks import LayerNormLSTMCell
from normwise.keras.untyped import ops
from normwise.nn import LayerNormLSTM

_UNITS, _FEATURES = 5, 3


def _sequences() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((4, 7, _FEATURES)).astype("float32")


def _layer(**options: Any) -> Any:
    layer = keras.layers.RNN(LayerNormLSTMCell(_UNITS, **options), return_sequences=True)
    layer.build((None, None, _FEATURES))
    draw = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(draw.standard_normal(tuple(weight.shape)).astype("float32"))
    return layer


def _weights(layer: Any) -> dict[str, np.ndarray]:
    return {weight.name: ops.convert_to_numpy(weight).astype("float64") for weight in layer.weights}


def _expected(x: np.ndarray, w: dict[str, np.ndarray], epsilon: float) -> np.ndarray:
    def normalised(values: np.ndarray, gamma: np.ndarray) -> np.ndarray:
        return (
            gamma
            * (values - values.mean(-1, keepdims=True))
            / np.sqrt(values.var(-1, keepdims=True) + epsilon)
        )

    def sigmoid(values: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-values))

    h = c = np.zeros((len(x), _UNITS))
    outputs = []
    for step in range(x.shape[1]):
        summed = normalised(h @ w["recurrent_kernel"], w["gamma_recurrent"])
        summed = summed + normalised(x[:, step].astype("float64") @ w["kernel"], w["gamma_input"]) + w["bias"]
        i, f, g, o = np.split(summed, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(normalised(c, w["gamma_cell"]) + w["beta_cell"])
        outputs.append(h)
    return np.stack(outputs, 1)


@pytest.mark.parametrize("epsilon", [1e-3, 0.1])
def test_outputs_are_those_of_the_equations(epsilon: float) -> None:
    layer, x = _layer(epsilon=epsilon), _sequences()
    found = ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(found, _expected(x, _weights(layer), epsilon), atol=2e-6)


def test_outputs_are_those_of_the_torch_layer() -> None:
    layer, x = _layer(epsilon=1e-5), _sequences()
    other = LayerNormLSTM(_FEATURES, _UNITS, batch_first=True)
    names = {
        "weight_ih_l0": "kernel", "weight_hh_l0": "recurrent_kernel", "bias_l0": "bias",
        "norm_ih_l0.weight": "gamma_input", "norm_hh_l0.weight": "gamma_recurrent",
        "norm_c_l0.weight": "gamma_cell", "norm_c_l0.bias": "beta_cell",
    }  # fmt: skip
    weights = _weights(layer)
    assert {name for name, _ in other.named_parameters()} == set(names)
    other.load_state_dict(
        {name: torch.from_numpy(weights[ours].T).contiguous().float() for name, ours in names.items()}
    )
    with torch.no_grad():
        expected = other(torch.from_numpy(x))[0].numpy()
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, atol=2e-6)


def test_a_masked_step_changes_no_state() -> None:
    layer, x = _layer(), _sequences()
    mask = np.arange(7) < 4
    found = ops.convert_to_numpy(layer(x, mask=np.tile(mask, (4, 1))))
    np.testing.assert_allclose(found[:, 3:], np.repeat(found[:, 3:4], 4, 1), atol=1e-6)
    np.testing.assert_allclose(found[:, :4], ops.convert_to_numpy(layer(x[:, :4])), atol=1e-6)


def test_the_bias_of_the_forget_gate_begins_at_one_unless_it_should_not() -> None:
    for wanted in (True, False):
        layer: Any = keras.layers.RNN(LayerNormLSTMCell(2, unit_forget_bias=wanted))
        layer.build((None, None, 3))
        bias = ops.convert_to_numpy(layer.cell.bias).tolist()
        assert bias == [0, 0, float(wanted), float(wanted), 0, 0, 0, 0]


def test_its_configuration_makes_it_again() -> None:
    cell = LayerNormLSTMCell(3, epsilon=0.5, unit_forget_bias=False, name="cell")
    assert LayerNormLSTMCell.from_config(cell.get_config()).get_config() == cell.get_config()


def test_no_units_are_an_error() -> None:
    with pytest.raises(ValueError, match="units must be 1 or more, got 0"):
        LayerNormLSTMCell(0)
