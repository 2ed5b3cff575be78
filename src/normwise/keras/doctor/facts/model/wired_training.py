"""Effect of ``training=`` in a call that built a functional model, in the installed release of Keras."""

from functools import cache
from typing import Any

import keras
import numpy as np


@cache
def wired_training_holds() -> bool:
    """Return whether ``norm(x, training=True)`` in a functional model overrides ``model(x, training=False)``.

    In Keras 3.15 it does not: ``fit``, ``evaluate`` and ``predict`` pass ``training`` to the whole model, which
    takes precedence. A model of one layer is tried, so that the result is that of the installed release.
    """
    seen: list[bool] = []

    class Asked(keras.layers.Layer):
        def call(self, inputs: Any, training: bool | None = None) -> Any:
            seen.append(bool(training))
            return inputs

    # With names, since Keras counts the names that it generates.
    inputs = keras.Input((1,), name="asked_input")
    model = keras.Model(inputs, Asked(name="asked")(inputs, training=True), name="asked_model")
    seen.clear()
    model(np.zeros((1, 1), "float32"), training=False)
    return seen[-1]
