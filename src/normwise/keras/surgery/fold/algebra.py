"""Algebra of folding a scale and a shift into weights of layers, on arrays, in float64.

Kernels have Keras's layouts: ``(*window, inputs / groups, outputs)``; depthwise ``(*window, inputs, multiplier)``;
transposed ``(*window, outputs, inputs)``; a dense one has no window.
"""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from normwise.keras.surgery.arrays import double
from normwise.keras.surgery.fold.left_error import LeftError

Array = NDArray[np.float64]
#: Weights of a layer by the names of its attributes.
Weights = dict[str, Array]

TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)


def scale_and_shift(layer: Any) -> tuple[Array, Array]:
    r"""Return scale and shift of each channel in inference, of shape ``(C,)``.

    .. math::

        y = s x + t, \quad s = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}, \quad t = \beta - s \mu
    """
    scale = 1 / np.sqrt(double(layer.moving_variance) + layer.epsilon)
    if layer.gamma is not None:
        scale = scale * double(layer.gamma)
    shift = -scale * double(layer.moving_mean)
    return scale, shift if layer.beta is None else shift + double(layer.beta)


def weights_of(layer: Any) -> Weights:
    """Return the kernels and the bias of a layer; zeros if it has no bias."""
    names = ("depthwise_kernel", "pointwise_kernel") if isinstance(layer, SEPARABLE) else ("kernel",)
    weights = {name: double(getattr(layer, name)) for name in names}
    bias = np.zeros(outputs_of(layer, weights)) if layer.bias is None else double(layer.bias)
    return weights | {"bias": bias}


def outputs_of(layer: Any, weights: Weights) -> int:
    """Return the number of channels of a layer's output."""
    if isinstance(layer, SEPARABLE):
        return weights["pointwise_kernel"].shape[-1]
    shape = weights["kernel"].shape
    if isinstance(layer, DEPTHWISE):
        return shape[-2] * shape[-1]
    return shape[-2] if isinstance(layer, TRANSPOSED) else shape[-1]


def into_outputs(layer: Any, weights: Weights, scale: Array, shift: Array) -> Weights:
    r"""Return the weights that compute ``s · (W x + b) + t``.

    .. math::

        W' = s W, \quad b' = s b + t
    """
    name = "pointwise_kernel" if isinstance(layer, SEPARABLE) else "kernel"
    factor = scale
    if isinstance(layer, DEPTHWISE):
        factor = scale.reshape(weights[name].shape[-2:])
    elif isinstance(layer, TRANSPOSED):
        factor = scale[:, None]
    return weights | {name: weights[name] * factor, "bias": weights["bias"] * scale + shift}


def into_inputs(layer: Any, weights: Weights, scale: Array, shift: Array) -> Weights:
    r"""Return the weights that compute ``W (s x + t) + b``, if ``W`` is multiplied with nothing else.

    .. math::

        W' = W s, \quad b' = b + W t

    Raises:
        LeftError: the layer is transposed and there is a shift.
    """
    name = "depthwise_kernel" if isinstance(layer, SEPARABLE) else "kernel"
    kernel = weights[name]
    factor, added = _by_input(layer, kernel, scale), kernel * _by_input(layer, kernel, shift)
    added = added.sum(tuple(range(kernel.ndim - 2)))
    if isinstance(layer, TRANSPOSED):
        if shift.any():
            raise LeftError("at the borders it sums over fewer inputs, where the shift would count less")
        added = np.zeros(kernel.shape[-2])
    elif isinstance(layer, DEPTHWISE):
        added = added.reshape(-1)
    elif isinstance(layer, SEPARABLE):
        pointwise = weights["pointwise_kernel"]
        added = added.reshape(-1) @ pointwise.reshape(-1, pointwise.shape[-1])
    else:
        added = added.sum(0)
    return weights | {name: kernel * factor, "bias": weights["bias"] + added}


def _by_input(layer: Any, kernel: Array, values: Array) -> Array:
    """Return values of the input channels in a shape that broadcasts to a kernel."""
    if isinstance(layer, TRANSPOSED):
        return values
    if isinstance(layer, (*DEPTHWISE, *SEPARABLE)):
        return values[:, None]
    groups = getattr(layer, "groups", 1)
    # Each group has its own inputs and outputs.
    return np.repeat(values.reshape(groups, -1), kernel.shape[-1] // groups, axis=0).T
