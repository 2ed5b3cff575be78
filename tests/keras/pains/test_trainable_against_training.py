"""`trainable` and `training` in Keras's layer and ours: only the first freezes a layer."""

from typing import Any

import keras
import numpy as np
import pytest

import normwise.keras
from normwise.keras import BatchNormalization

_X = np.full((4, 3), 5, "float32")


def _moves(model: Any, layer: Any) -> bool:
    """Return whether a call in training, as fit makes it, moves the statistics."""
    before = np.array(keras.ops.convert_to_numpy(layer.moving_mean))
    model(_X, training=True)
    return not np.array_equal(keras.ops.convert_to_numpy(layer.moving_mean), before)


@pytest.mark.parametrize("kind", [keras.layers.BatchNormalization, BatchNormalization])
def test_22_a_functional_model_forgets_training_false_and_trainable_freezes(kind: Any) -> None:
    # https://github.com/keras-team/keras/issues/4762, https://github.com/keras-team/keras/issues/20285
    inputs, layer = keras.Input((3,)), kind()
    model = keras.Model(inputs, layer(inputs, training=False))
    assert _moves(model, layer)
    layer.trainable = False
    assert not _moves(model, layer)


def test_22_freeze_and_unfreeze_say_it_in_one_word() -> None:
    layer: Any = BatchNormalization()
    model = keras.Sequential([keras.Input((3,)), layer])
    normwise.keras.freeze(model)
    assert not _moves(model, layer)
    normwise.keras.unfreeze(model)
    assert _moves(model, layer)
