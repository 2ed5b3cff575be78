"""A small network with batch normalization, data for it, and what its layers get."""

from typing import Any

import keras
import numpy as np
from keras import layers

import normwise.keras as nk
from normwise.keras.surgery.arrays import double

KINDS = {"ours": nk.BatchNormalization, "Keras's": layers.BatchNormalization}


def samples(samples: int = 50, mean: float = 3.0) -> np.ndarray[Any, Any]:
    return (np.random.default_rng(0).standard_normal((samples, 6)) * 2 + mean).astype("float32")


def network(kind: Any = nk.BatchNormalization, **settings: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, activation="relu"),
            kind(name="first", **settings),
            layers.Dense(4),
            kind(name="second", **settings),
            layers.Dense(2),
        ]
    )


def inputs_of(model: Any, name: str, x: Any) -> np.ndarray[Any, Any]:
    """Return what a layer gets in inference, in float64."""
    found = model.get_layer(name)
    return double(keras.Model(model.inputs[0], found.input)(x, training=False))
