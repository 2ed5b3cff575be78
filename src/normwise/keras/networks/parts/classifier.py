"""The last layer of a classifier, and the model that it makes."""

from typing import Any

import keras


def classifier(name: str, inputs: Any, features: Any, units: int, *, logits: bool) -> keras.Model:
    """Return a model that ends in a dense layer: with softmax, or with a sigmoid where it has one unit.

    With ``logits`` there is neither, as in the networks of ``normwise.models``.
    """
    activation = None if logits else "sigmoid" if units == 1 else "softmax"
    outputs = keras.layers.Dense(units, activation=activation, name="output")(features)
    return keras.Model(inputs, outputs, name=name)
