"""The checks that Keras's own tests make of any layer."""

import json
from typing import Any

import keras
import numpy as np

from normwise.keras import BatchNormalization
from normwise.keras.untyped import ops
from tests.support.keras.xla import FASTER


def check_layer(
    settings: dict[str, Any], shape: tuple[int, ...], trainable: int, others: int, losses: int = 0
) -> None:
    """Assert that a layer is built, called, saved and trained as layers of Keras are.

    Args:
        settings: Arguments of the layer.
        shape: Of the input.
        trainable, others: Number of weights that are trained, and of the others.
        losses: Number of losses of regularizers.
    """

    def made(**more: Any) -> Any:
        return BatchNormalization(**settings, **more)

    def check_weights(layer: Any) -> None:
        assert layer.built
        assert (len(layer.trainable_weights), len(layer.non_trainable_weights)) == (trainable, others)
        assert len(layer.variables) == trainable + others

    layer = made()
    assert layer.supports_masking
    text = json.dumps(keras.saving.serialize_keras_object(layer))
    revived: Any = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(revived) is BatchNormalization
    assert revived.get_config() == layer.get_config()

    layer.build(shape)
    check_weights(layer)
    symbolic = (layer := made())(keras.KerasTensor(shape), training=True)
    check_weights(layer)
    assert (symbolic.shape, symbolic.dtype) == (shape, "float32")
    assert layer.compute_output_shape(shape) == shape

    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    layer = made()
    y = layer(x, training=True)
    check_weights(layer)
    assert (tuple(y.shape), keras.backend.standardize_dtype(y.dtype)) == (shape, "float32")
    assert len(layer.losses) == losses

    model: Any = keras.Sequential([keras.Input(shape[1:]), made(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=FASTER)
    before = [weight.copy() for weight in model.get_weights()]
    model.fit(x, x[..., :1] + 1, batch_size=shape[0], verbose=0)
    moved = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert all(moved)

    half = made(dtype="mixed_float16")
    y = half(x, training=True)
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    assert half.compute_output_spec(keras.KerasTensor(shape, "float16")).dtype == "float16"
    assert {weight.dtype for weight in half.weights} <= {"float32", "int32"}
    assert np.isfinite(ops.convert_to_numpy(y)).all()
