"""Calls of a layer that are compiled as a whole on JAX, where operation by operation takes many times longer."""

from typing import Any

import keras
import numpy as np

from normwise.keras.untyped import ops


def call(layer: Any, x: Any, training: bool, **arguments: Any) -> np.ndarray:
    """Return the output of a layer as an array; its state moves as it would."""
    if keras.backend.backend() != "jax":
        return ops.convert_to_numpy(layer(x, training=training, **arguments))
    import jax

    if not layer.built:
        layer.build(np.shape(x))

    def pure(trainable: list[Any], state: list[Any], x: Any) -> Any:
        return layer.stateless_call(trainable, state, x, training=training, **arguments)

    variables = layer.trainable_variables, layer.non_trainable_variables
    output, after = jax.jit(pure)(*([v.value for v in kind] for kind in variables), ops.convert_to_tensor(x))
    for variable, value in zip(layer.non_trainable_variables, after, strict=True):
        variable.assign(value)
    return ops.convert_to_numpy(output)
