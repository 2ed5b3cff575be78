"""Layers that are left as they are, with the reason, and errors of calibrate."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import normwise.keras as nk
from normwise.errors import ArgumentError, ModelError
from normwise.keras.surgery.arrays import double
from tests.keras.surgery.calibrate_cases import network, samples


def test_what_can_not_be_calibrated_is_left_and_the_reason_is_said() -> None:
    class _Own(nk.BatchNormalization):
        def call(self, inputs: Any, training: Any = None, mask: Any = None, residual: Any = None) -> Any:
            return super().call(2 * inputs, training=training, mask=mask, residual=residual)

    by_batch: Any = nk.BatchNormalization(name="by_batch")

    class _Trains(layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="trains")
            self.by_batch = by_batch

        def call(self, x: Any) -> Any:
            return self.by_batch(x, training=True)

    given = keras.Input((6,))
    y = nk.BatchNormalization(name="good")(given)
    y = nk.BatchNormalization(name="frozen", trainable=False)(y)
    y = _Trains()(y)
    model = keras.Model(given, _Own(name="own")(y))
    before = model.get_weights()
    reasons = {layer.path: layer.reason for layer in nk.calibrate(model, samples()).layers}
    assert reasons["good"] == ""
    assert "it is frozen (include_frozen=True" in reasons["frozen"]
    assert reasons["trains/by_batch"] == "it normalises by the batch in evaluation, too"
    assert "_Own has a call of its own" in reasons["own"]
    for layer in (model.get_layer("frozen"), by_batch, model.get_layer("own")):
        number = [weight.path for weight in model.weights].index(layer.moving_mean.path)
        np.testing.assert_array_equal(model.get_weights()[number], before[number])
    frozen = nk.calibrate(model, samples(), include_frozen=True).layers[1]
    assert frozen.calibrated


@pytest.mark.parametrize(
    ("data", "settings", "error", "text"),
    [
        (None, {"order": "none"}, ArgumentError, "unknown order 'none'; known are 'evaluation', 'training'"),
        (None, {"max_batches": 0}, ArgumentError, "max_batches must be a whole number, at least 1, got 0"),
        (None, {"batch_size": True}, ArgumentError, "batch_size must be a whole number"),
        (lambda x: iter([x]), {}, ArgumentError, "an iterator can be read once"),
        (lambda x: [], {}, ArgumentError, "the data have no batches"),
        (lambda x: "mnist", {}, ArgumentError, "expected batches as data, got str"),
        (
            lambda x: x[:, :3],
            {},
            ModelError,
            r"^the model fails on batch 0 .*: ValueError: Input .* shape \(.*\)$",
        ),
        (lambda x: x[:1], {}, ModelError, "it sees fewer than two values a channel"),
    ],
)
def test_bad_input_gets_a_clear_error(data: Any, settings: dict[str, Any], error: Any, text: str) -> None:
    x = samples()
    with pytest.raises(error, match=text):
        nk.calibrate(network(), x if data is None else data(x), **settings)


def test_a_model_without_weights_or_layers_gets_a_clear_error() -> None:
    with pytest.raises(ArgumentError, match="has no weights yet; call it on a batch once"):
        nk.calibrate(keras.Sequential([nk.BatchNormalization()]), samples())
    with pytest.raises(ModelError, match="has no BatchNormalization layer"):
        nk.calibrate(keras.Sequential([keras.Input((6,)), layers.Dense(2)]), samples())
    with pytest.raises(ArgumentError, match="expected a model of Keras, got ndarray"):
        nk.calibrate(samples(), network())


class _Traced(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nk.BatchNormalization(name="bn")
        self.bn.build((None, 6))

    def call(self, x: Any) -> Any:
        if keras.backend.backend() == "jax":
            import jax

            return jax.jit(self.bn)(x)
        import tensorflow as tf

        return tf.function(self.bn)(x)


def test_a_layer_in_traced_code_is_left_and_the_reason_is_said() -> None:
    if keras.backend.backend() == "torch":
        pytest.skip("torch has no traced code that Keras would run")
    model = _Traced()
    model.built = True
    with pytest.raises(ModelError, match="'bn': it is called in traced code, such as that of"):
        nk.calibrate(model, samples())
    np.testing.assert_array_equal(double(model.bn.moving_mean), np.zeros(6))


def test_masks_that_differ_between_channels_are_refused() -> None:
    inputs: Any = keras.Input((3,))
    model = keras.Model(inputs, nk.BatchNormalization()(inputs, mask=inputs < 50))
    x = np.where(np.arange(24).reshape(8, 3) % 2, 99.0, 1.0).astype("float32")
    with pytest.raises(ModelError, match="the mask differs between channels, axis 1"):
        nk.calibrate(model, x)
