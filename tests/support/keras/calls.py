"""Calls of a layer that are compiled as a whole on JAX, where operation by operation takes many times longer."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from normwise.keras.untyped import ops


def call(layer: Any, x: Any, training: bool, **arguments: Any) -> np.ndarray:
    """Return the output of a layer or a model as an array; its state moves as it would."""
    return compiled(layer, training)(x, **arguments)


def compiled(layer: Any, training: bool, options: dict[str, Any] | None = None) -> Callable[..., np.ndarray]:
    """Return a function that calls a layer or a model, whose settings stay, and is compiled once for each shape.

    Args:
        layer: Built or not.
        training: The argument of the call.
        options: Those of ``jax.jit``, as ``xla.AS_BY_DEFAULT``.
    """
    if keras.backend.backend() != "jax":
        return lambda x, **arguments: ops.convert_to_numpy(layer(x, training=training, **arguments))
    import jax

    def pure(trainable: list[Any], state: list[Any], x: Any, arguments: dict[str, Any]) -> Any:
        return layer.stateless_call(trainable, state, x, training=training, **arguments)

    jitted = jax.jit(pure, compiler_options=options)

    def called(x: Any, **arguments: Any) -> np.ndarray:
        if not layer.built:
            layer.build(np.shape(x))
        variables = layer.trainable_variables, layer.non_trainable_variables
        values = ([variable.value for variable in kind] for kind in variables)
        output, after = jitted(*values, ops.convert_to_tensor(x), arguments)
        for variable, value in zip(layer.non_trainable_variables, after, strict=True):
            variable.assign(value)
        return ops.convert_to_numpy(output)

    return called
