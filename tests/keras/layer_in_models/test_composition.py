"""The layer in models of all kinds: functional with a residual, automatic masks, nested, shared, over time."""

from typing import Any

import keras
import numpy as np

from normwise.keras import BatchNormalization
from normwise.keras.untyped import ops


def _array(value: Any) -> np.ndarray:
    return ops.convert_to_numpy(value)


def test_a_residual_of_a_functional_model_is_added_before_the_activation() -> None:
    inputs = keras.Input((6, 4))
    hidden = keras.layers.Dense(4, use_bias=False)(inputs)
    model: Any = keras.Model(inputs, BatchNormalization(activation="relu")(hidden, residual=inputs))
    x = np.random.default_rng(0).standard_normal((3, 6, 4)).astype("float32")
    expected = np.maximum(x @ _array(model.layers[1].kernel) / np.sqrt(1.001) + x, 0)
    np.testing.assert_allclose(_array(model(x)), expected, atol=1e-5)
    again: Any = keras.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(_array(again(x)), expected, atol=1e-5)


def test_the_mask_of_an_embedding_arrives_through_other_layers() -> None:
    inputs = keras.Input((None,), dtype="int32")
    hidden = keras.layers.Embedding(9, 3, mask_zero=True)(inputs)
    hidden = keras.layers.Dropout(0.0)(hidden)
    layer: Any = BatchNormalization(momentum=0.0)
    model: Any = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(layer(hidden)))
    tokens = np.array([[1, 2, 3, 0], [4, 0, 0, 0]])
    model(tokens, training=True)
    real = _array(model.layers[1].embeddings)[[1, 2, 3, 4]]
    np.testing.assert_allclose(_array(layer.moving_mean), real.mean(0), atol=1e-6)
    np.testing.assert_allclose(_array(layer.moving_variance), real.var(0), rtol=1e-4)


def test_a_layer_of_each_time_step_sees_the_whole_batch() -> None:
    layer: Any = BatchNormalization(momentum=0.0)
    model: Any = keras.Sequential([keras.Input((5, 3)), keras.layers.TimeDistributed(layer)])
    x = np.random.default_rng(0).standard_normal((4, 5, 3)).astype("float32")
    y = _array(model(x, training=True))
    assert y.shape == x.shape
    # Keras calls it once a step where it must, and with all steps at once where it can.
    step = (x - x.mean((0, 1))) / np.sqrt(x.var((0, 1)) + 1e-3)
    each = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3)
    assert np.allclose(y, step, atol=1e-4) or np.allclose(y, each, atol=1e-4)


def test_a_layer_in_a_model_in_a_model_moves_and_is_frozen_with_them() -> None:
    inner: Any = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), BatchNormalization()])
    outer: Any = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(1)])
    layer = inner.layers[1]
    x = np.random.default_rng(0).standard_normal((8, 4)).astype("float32") + 1
    outer(x, training=True)
    moved = _array(layer.moving_mean)
    assert (moved != 0).all()
    outer.trainable = False
    outer(x, training=True)
    np.testing.assert_array_equal(_array(layer.moving_mean), moved)


def test_a_shared_layer_moves_with_each_of_its_calls() -> None:
    layer: Any = BatchNormalization(momentum=None)
    first, second = keras.Input((3,)), keras.Input((3,))
    model: Any = keras.Model([first, second], [layer(first), layer(second)])
    a, b = (np.random.default_rng(0).standard_normal((2, 8, 3)) + 1).astype("float32")
    model([a, b], training=True)
    np.testing.assert_allclose(_array(layer.moving_mean), (a.mean(0) + b.mean(0)) / 2, rtol=1e-5)
    assert int(layer.batches) == 2
