"""Gradients of a layer, on whatever backend Keras runs on."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

from normwise.keras.untyped import ops


@dataclass(frozen=True)
class Passes:
    """Output of a layer and gradients of the sum of its products with weights, as NumPy arrays.

    Attributes:
        output: Output.
        x: Gradient of the inputs.
        residual: Gradient of the residual; None without one.
        weights: Gradients of the trainable weights, in their order.
    """

    output: np.ndarray
    x: np.ndarray
    residual: np.ndarray | None
    weights: list[np.ndarray]


def passes(
    layer: Any,
    x: Any,
    upstream: Any,
    *,
    residual: Any = None,
    options: dict[str, Any] | None = None,
    **call: Any,
) -> Passes:
    """Return what a forward and a backward pass of a built layer compute; its statistics move as they would.

    Args:
        layer: Built.
        x: Input, an array or a tensor; it keeps its type.
        upstream: Gradient of the output.
        residual: The layer's call argument.
        options: Those of ``jax.jit``, as ``xla.AS_BY_DEFAULT``.
        call: Other arguments of the call.
    """
    inputs = [ops.convert_to_tensor(value) for value in (x, residual) if value is not None]
    upstream = ops.convert_to_tensor(upstream)
    names = ["residual"] if residual is not None else []

    def loss(output: Any) -> Any:
        wide = ops.cast(output, upstream.dtype)
        # A position without weight has no part in the loss, whatever its output.
        return ops.sum(ops.where(upstream != 0, wide, ops.zeros_like(wide)) * upstream)

    def called(given: list[Any]) -> Any:
        return layer(given[0], **dict(zip(names, given[1:], strict=True)), **call)

    compute = {
        "tensorflow": _on_tensorflow,
        "jax": partial(_on_jax, options),
        "torch": _on_torch,
    }[keras.backend.backend()]
    output, gradients = compute(layer, inputs, called, loss, names, call)
    arrays = [None if value is None else ops.convert_to_numpy(value) for value in gradients]
    weights: Any = arrays[len(inputs) :]
    return Passes(ops.convert_to_numpy(output), arrays[0], arrays[1] if names else None, weights)  # type: ignore[arg-type]


def _on_tensorflow(
    layer: Any, inputs: list[Any], called: Any, loss: Any, names: list[str], call: Any
) -> tuple[Any, Any]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        for value in inputs:
            tape.watch(value)
        output = called(inputs)
        total = loss(output)
    return output, tape.gradient(total, [*inputs, *(weight.value for weight in layer.trainable_variables)])


def _on_jax(
    options: Any, layer: Any, inputs: list[Any], called: Any, loss: Any, names: list[str], call: Any
) -> tuple[Any, Any]:
    import jax

    state = [weight.value for weight in layer.non_trainable_variables]

    def total(given: list[Any], trainable: list[Any]) -> Any:
        residual = dict(zip(names, given[1:], strict=True))
        output, after = layer.stateless_call(trainable, state, given[0], **residual, **call)
        return loss(output), (output, after)

    trainable = [weight.value for weight in layer.trainable_variables]
    # Compiled whole: operation by operation takes longer.
    compiled = jax.jit(jax.grad(total, (0, 1), has_aux=True), compiler_options=options)
    gradients, (output, after) = compiled(inputs, trainable)
    for weight, value in zip(layer.non_trainable_variables, after, strict=True):
        weight.assign(value)
    return output, [*gradients[0], *gradients[1]]


def _on_torch(
    layer: Any, inputs: list[Any], called: Any, loss: Any, names: list[str], call: Any
) -> tuple[Any, Any]:
    import torch

    inputs = [value.detach().clone().requires_grad_() for value in inputs]
    output = called(inputs)
    weights = [weight.value for weight in layer.trainable_variables]
    return output.detach(), torch.autograd.grad(loss(output), [*inputs, *weights])
