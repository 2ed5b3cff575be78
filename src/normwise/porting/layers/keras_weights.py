"""Weights of Keras's layers, and their conversion to torch's layouts and back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from normwise.errors import ModelError
from normwise.keras.networks.parts.layer_norm_lstm_cell import LayerNormLSTMCell
from normwise.porting.layers.torch_arrays import COUNTER, DIRECTIONS, RECURRENT, Array

L = keras.layers
_CONV = (L.Conv1D, L.Conv2D, L.Conv3D)
_TRANSPOSED = (L.Conv1DTranspose, L.Conv2DTranspose, L.Conv3DTranspose)
_DEPTHWISE = (L.DepthwiseConv1D, L.DepthwiseConv2D)
_SEPARABLE = (L.SeparableConv1D, L.SeparableConv2D)


def _same(value: Array) -> Array:
    return value


@dataclass(frozen=True)
class Weight:
    """One variable of a layer.

    Attributes:
        variable: Keras variable.
        to_torch: Function that converts its value to torch's layout.
        to_keras: Inverse function.
    """

    variable: Any
    to_torch: Callable[[Array], Array] = _same
    to_keras: Callable[[Array], Array] = _same


def kind_of_layer(layer: Any) -> str | None:
    """Return the kind of a layer, a key of ``NEUTRAL``; None if it is unknown."""
    if isinstance(layer, L.Bidirectional):
        inner = kind_of_layer(layer.forward_layer)
        return inner if inner in RECURRENT else None
    if isinstance(layer, L.RNN):
        cell = layer.cell
        cells = {"lstm": L.LSTMCell, "gru": L.GRUCell, "layer_norm_lstm": LayerNormLSTMCell}
        return next((kind for kind, known in cells.items() if isinstance(cell, known)), None)
    kinds = {
        "linear": L.Dense,
        "conv": (*_CONV, *_DEPTHWISE),
        "conv_transpose": _TRANSPOSED,
        "batch_norm": L.BatchNormalization,
        "layer_norm": L.LayerNormalization,
        "group_norm": L.GroupNormalization,
        "embedding": L.Embedding,
    }
    return next((kind for kind, classes in kinds.items() if isinstance(layer, classes)), None)


def parts_of(layer: Any) -> tuple[str, ...]:
    """Return the names of a layer's parts: a separable convolution is two of torch's layers."""
    return ("depthwise", "pointwise") if isinstance(layer, _SEPARABLE) else ("",)


def weights_of(layer: Any, part: str, order: Array | None) -> dict[str, Weight]:
    """Return the weights of a layer by torch's names.

    Args:
        layer: Built layer.
        part: Name of the part, from :func:`parts_of`.
        order: Index in torch of each feature of its inputs, if a Flatten arranged them differently; otherwise None.
    """
    if part:
        return _separable(layer, part)
    if isinstance(layer, (L.RNN, L.Bidirectional)):
        return _recurrent(layer)
    if isinstance(layer, _DEPTHWISE):
        return _present({"weight": _depthwise(layer.kernel), "bias": Weight(layer.bias)})
    if isinstance(layer, (*_CONV, *_TRANSPOSED)):
        return _present({"weight": _kernel(layer.kernel), "bias": Weight(layer.bias)})
    if isinstance(layer, L.Dense):
        if getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False):
            raise ModelError(
                f"{layer.name!r} (Dense) is quantized or has LoRA weights; merge or drop these first"
            )
        return _present({"weight": _matrix(layer.kernel, order), "bias": Weight(layer.bias)})
    if isinstance(layer, L.Embedding):
        return {"weight": Weight(layer.embeddings)}
    found = {"weight": layer.gamma, "bias": layer.beta}
    if isinstance(layer, L.BatchNormalization):
        found |= {"running_mean": layer.moving_mean, "running_var": layer.moving_variance}
    weights = _present({name: _ordered(variable, order) for name, variable in found.items()})
    if getattr(layer, "batches", None) is not None:
        weights[COUNTER] = Weight(layer.batches)
    return weights


def value_of(variable: Any) -> Array:
    """Return a copy of a variable's value; a dtype that NumPy lacks becomes float32."""
    value = np.array(keras.ops.convert_to_numpy(variable))
    return value.astype(np.float32) if value.dtype.kind == "V" or "bfloat16" in value.dtype.name else value


def _present(weights: dict[str, Weight]) -> dict[str, Weight]:
    return {name: weight for name, weight in weights.items() if weight.variable is not None}


def _kernel(variable: Any) -> Weight:
    """Convert ``(*k, in, out)`` and ``(out, in, *k)``; a transposed convolution has in and out exchanged in both."""
    return Weight(
        variable,
        lambda value: np.moveaxis(value, (-1, -2), (0, 1)),
        lambda value: np.moveaxis(value, (0, 1), (-1, -2)),
    )


def _depthwise(variable: Any) -> Weight:
    """Convert ``(*k, in, multiplier)`` and ``(in * multiplier, 1, *k)``."""
    shape = tuple(variable.shape)

    def to_torch(value: Array) -> Array:
        return np.moveaxis(value.reshape(*shape[:-2], -1), -1, 0)[:, None]

    return Weight(variable, to_torch, lambda value: np.moveaxis(value[:, 0], 0, -1).reshape(shape))


def _matrix(variable: Any, order: Array | None) -> Weight:
    """Convert ``(in, out)`` and ``(out, in)``."""
    if order is None:
        return Weight(variable, np.transpose, np.transpose)
    inverse = np.argsort(order)
    return Weight(variable, lambda value: value[inverse].T, lambda value: value.T[order])


def _ordered(variable: Any, order: Array | None) -> Weight:
    if order is None or variable is None:
        return Weight(variable)
    inverse = np.argsort(order)
    return Weight(variable, lambda value: value[inverse], lambda value: value[order])


def _separable(layer: Any, part: str) -> dict[str, Weight]:
    if part == "depthwise":
        return {"weight": _depthwise(layer.depthwise_kernel)}
    return _present({"weight": _kernel(layer.pointwise_kernel), "bias": Weight(layer.bias)})


def _recurrent(layer: Any) -> dict[str, Weight]:
    """Convert gates: i, f, g, o in both frameworks' LSTM; in GRU torch has r, z, n and Keras z, r, n."""
    if isinstance(layer, L.Bidirectional):
        layers = {"": layer.forward_layer, "_reverse": layer.backward_layer}
    else:
        layers = {"": layer}
    weights: dict[str, Weight] = {}
    for end in DIRECTIONS[: len(layers)]:
        cell = layers[end].cell
        exchange = _exchanged if isinstance(cell, L.GRUCell) else _same
        if isinstance(cell, LayerNormLSTMCell):
            for part, gain in (
                ("ih", cell.gamma_input),
                ("hh", cell.gamma_recurrent),
                ("c", cell.gamma_cell),
            ):
                weights[f"norm_{part}.weight{end}"] = Weight(gain)
            weights[f"norm_c.bias{end}"] = Weight(cell.beta_cell)
        else:
            _check_cell(layer, cell)
        for name, variable in (("weight_ih", cell.kernel), ("weight_hh", cell.recurrent_kernel)):
            weights[f"{name}{end}"] = Weight(
                variable,
                lambda value, exchange=exchange: exchange(value.T),
                lambda value, exchange=exchange: exchange(value).T,
            )
        if cell.bias is not None:
            last = lambda value, exchange=exchange: exchange(value.T).T  # noqa: E731
            weights[f"bias{end}"] = Weight(cell.bias, last, last)
    return weights


def _exchanged(value: Array) -> Array:
    """Exchange the first two of the three gates along the first axis."""
    first, second, third = np.split(value, 3)
    return np.concatenate([second, first, third])


def _check_cell(layer: Any, cell: Any) -> None:
    """Raise ModelError unless torch's layer computes the same."""
    reset = (
        ""
        if getattr(cell, "reset_after", True)
        else "reset_after=False, and torch's GRU resets after the product"
    )
    functions = (cell.activation, cell.recurrent_activation)
    other = functions != (keras.activations.tanh, keras.activations.sigmoid)
    if reset or other:
        said = (
            reset
            or f"the activations {functions[0].__name__} and {functions[1].__name__}, where torch has tanh and sigmoid"
        )
        raise ModelError(
            f"{layer.name!r} ({type(layer).__name__}) has {said}; there is no such layer in torch"
        )
