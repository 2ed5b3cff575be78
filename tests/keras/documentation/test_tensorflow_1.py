"""The calls of TensorFlow 1, as they were recorded, against what docs/keras/tensorflow-1.md has in their place."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from normwise.keras import BatchNormalization
from normwise.keras.untyped import ops
from tests.support.keras.calls import call, compiled
from tests.support.keras.tensorflow_1 import STEPS, recorded

_CELL = Path(__file__).parents[3] / "examples/keras/tensorflow_1/layer_norm_basic_lstm_cell.py"


def _same(ours: Any, values: dict[str, np.ndarray], name: str) -> None:
    np.testing.assert_allclose(ops.convert_to_numpy(ours), values[name], rtol=2e-5, atol=2e-6, err_msg=name)


def _dense(values: dict[str, np.ndarray], norm: Any) -> Any:
    dense = keras.layers.Dense(4)
    model = keras.Sequential([keras.Input((5,)), dense, norm])
    dense.set_weights([values["before dense/kernel:0"], values["before dense/bias:0"]])
    return model


def test_batch_normalization_without_training_is_inference_for_ever() -> None:
    values = recorded()["dense"]
    norm: Any = BatchNormalization(activation="relu")
    model = _dense(values, norm)
    infer = compiled(model, False)
    for step in range(STEPS):
        _same(infer(values["inputs"] + step), values, f"training {step}")
    _same(norm.moving_mean, values, "after batch_normalization/moving_mean:0")
    _same(norm.moving_variance, values, "after batch_normalization/moving_variance:0")


def test_batch_normalization_in_training_is_ours() -> None:
    values = recorded()["dense in training"]
    norm: Any = BatchNormalization(activation="relu")
    model = _dense(values, norm)
    train = compiled(model, True)
    for step in range(STEPS):
        np.testing.assert_allclose(train(values["inputs"] + step), values[f"training {step}"], atol=1e-5)
    _same(norm.moving_mean, values, "after batch_normalization/moving_mean:0")
    _same(norm.moving_variance, values, "after batch_normalization/moving_variance:0")
    _same(call(model, values["inputs"], False), values, "inference")


def _convolutions(values: dict[str, np.ndarray], **settings: Any) -> tuple[Any, list[Any]]:
    convolutions = [keras.layers.Conv2D(3, (3, 3)), keras.layers.Conv2D(3, (3, 3))]
    norms: list[Any] = [BatchNormalization(activation="relu", **settings) for _ in convolutions]
    model = keras.Sequential([keras.Input((7, 7, 2)), convolutions[0], norms[0], convolutions[1], norms[1]])
    for layer, name in zip(convolutions, ("conv2d", "conv2d_1"), strict=True):
        layer.set_weights([values[f"before {name}/kernel:0"], values[f"before {name}/bias:0"]])
    return model, norms


def test_after_convolutions_the_moving_variance_had_bessels_correction() -> None:
    values = recorded()["conv2d"]
    model, norms = _convolutions(values, unbiased_moving_variance=True)
    train = compiled(model, True)
    for step in range(STEPS):
        np.testing.assert_allclose(train(values["inputs"] + step), values[f"training {step}"], atol=1e-5)
    for norm, name in zip(norms, ("batch_normalization", "batch_normalization_1"), strict=True):
        _same(norm.moving_mean, values, f"after {name}/moving_mean:0")
        _same(norm.moving_variance, values, f"after {name}/moving_variance:0")
    _same(call(model, values["inputs"], False), values, "inference")


def test_without_the_correction_the_moving_variance_is_another() -> None:
    values = recorded()["conv2d"]
    model, norms = _convolutions(values)
    train = compiled(model, True)
    for step in range(STEPS):
        train(values["inputs"] + step)
    with pytest.raises(AssertionError, match="moving_variance"):
        _same(norms[1].moving_variance, values, "after batch_normalization_1/moving_variance:0")


def test_forgotten_update_operations_are_a_momentum_of_1() -> None:
    values = recorded()["conv2d without updates"]
    model, norms = _convolutions(values, momentum=1.0)
    train = compiled(model, True)
    for step in range(STEPS):
        np.testing.assert_allclose(train(values["inputs"] + step), values[f"training {step}"], atol=1e-5)
    for norm, name in zip(norms, ("batch_normalization", "batch_normalization_1"), strict=True):
        _same(norm.moving_variance, values, f"after {name}/moving_variance:0")
    _same(call(model, values["inputs"], False), values, "inference")


def test_a_basic_lstm_cell_is_an_lstm_with_other_gates_first_and_a_forget_bias() -> None:
    values = recorded()["basic_lstm"]
    i, j, f, o = np.split(values["before rnn/basic_lstm_cell/kernel:0"], 4, axis=1)
    kernel = np.concatenate([i, f, j, o], axis=1)
    i, j, f, o = np.split(values["before rnn/basic_lstm_cell/bias:0"], 4)
    layer = keras.layers.LSTM(4, return_sequences=True)
    model = keras.Sequential([keras.Input((5, 6)), layer])
    layer.set_weights([kernel[:6], kernel[6:], np.concatenate([i, f + 1, j, o])])
    _same(model(values["inputs"]), values, "inference")


@pytest.fixture(scope="module")
def example() -> Any:
    spec: Any = importlib.util.spec_from_file_location("layer_norm_basic_lstm_cell", _CELL)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _with_all(layer: Any, kernel: float) -> None:
    layer.set_weights([np.full(w.shape, kernel) if w.ndim == 2 else w for w in layer.get_weights()])


def test_the_layer_normalised_cell_gives_what_tensorflows_own_tests_say(example: Any) -> None:
    # The numbers of tensorflow/contrib/rnn/python/kernel_tests/rnn_cell_test.py, r1.15: two cells, all weights 0.5
    # (γ and β begin at 1 and 0), states 0.1 to 0.7.
    states = [([0.2, 0.3], [0.0, 0.1]), ([0.6, 0.7], [0.4, 0.5])]
    x = ops.ones((1, 2))
    cell = example.LayerNormBasicLSTMCell(2)
    cell.build((1, 2))
    _with_all(cell, 0.5)
    for h, c in states:
        x, (h, c) = cell(x, [ops.convert_to_tensor([h]), ops.convert_to_tensor([c])])
        np.testing.assert_allclose(ops.convert_to_numpy(c), [[-1.0, 1.0]], rtol=1e-5)
        np.testing.assert_allclose(ops.convert_to_numpy(h), [[-0.38079708, 0.38079708]], rtol=1e-5)


def test_the_layer_normalised_cell_is_its_equation(example: Any) -> None:
    rng = np.random.default_rng(0)
    cell = example.LayerNormBasicLSTMCell(4, forget_bias=0.5)
    layer = keras.layers.RNN(cell, return_sequences=True)
    inputs = rng.standard_normal((3, 6, 5)).astype("float32")
    layer.build(inputs.shape)
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.get_weights()])
    kernel = ops.convert_to_numpy(cell.kernel).astype(float)

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        gamma, beta = (ops.convert_to_numpy(w[name]) for w in (cell.gains, cell.shifts))
        return gamma * (x - x.mean(1, keepdims=True)) / (x.std(1, keepdims=True)) + beta

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    h = c = np.zeros((3, 4))
    outputs = ops.convert_to_numpy(layer(inputs))
    for step in range(6):
        i, j, f, o = np.split(np.concatenate([inputs[:, step], h], 1) @ kernel, 4, axis=1)
        c = sigmoid(norm("forget", f) + 0.5) * c + sigmoid(norm("input", i)) * np.tanh(norm("transform", j))
        c = norm("state", c)
        h = sigmoid(norm("output", o)) * np.tanh(c)
        np.testing.assert_allclose(outputs[:, step], h, atol=1e-4)


def test_the_layer_normalised_cell_saves_and_leaves_padding_out(example: Any, tmp_path: Path) -> None:
    layer = keras.layers.RNN(example.LayerNormBasicLSTMCell(4))
    model = keras.Sequential([keras.Input((None, 5)), keras.layers.Masking(), layer])
    inputs = np.random.default_rng(0).standard_normal((2, 6, 5)).astype("float32")
    found = ops.convert_to_numpy(model(inputs))
    padded = ops.convert_to_numpy(model(np.pad(inputs, ((0, 0), (0, 3), (0, 0)))))
    np.testing.assert_allclose(padded, found, atol=1e-6)
    model.save(tmp_path / "model.keras")
    again: Any = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(ops.convert_to_numpy(again(inputs)), found, atol=1e-6)


def test_the_example_runs(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    example.main()
    assert "mean 0.00, standard deviation 1.00" in capsys.readouterr().out
