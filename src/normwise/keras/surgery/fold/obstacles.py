"""Obstacles to folding: in a BN layer, and in the layer that would take it over."""

from typing import Any

import keras
import numpy as np

from normwise.keras.surgery.arrays import double
from normwise.keras.surgery.batch_norms import has_own_call
from normwise.keras.surgery.fold.algebra import DEPTHWISE, SEPARABLE, TRANSPOSED, scale_and_shift
from normwise.keras.surgery.fold.graph import Call
from normwise.keras.surgery.fold.left_error import LeftError, NoCandidateError

#: Layers that can take over a BN layer, with their number of axes besides batch and channels; a dense layer
#: has any.
MIXERS: dict[type, int] = {
    keras.layers.Dense: 0,
    keras.layers.Conv1D: 1,
    keras.layers.Conv2D: 2,
    keras.layers.Conv3D: 3,
    **dict(zip(TRANSPOSED, (1, 2, 3), strict=True)),
    **dict(zip(DEPTHWISE, (1, 2), strict=True)),
    **dict(zip(SEPARABLE, (1, 2), strict=True)),
}
#: Layers that do nothing in inference.
_TRANSPARENT = (
    keras.layers.Identity,
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
)
#: Members that a subclass may override to change the computation.
_COMPUTES = ("call", "__call__", "convolution_op")


def is_transparent(layer: Any) -> bool:
    """Return whether a layer does nothing in inference."""
    return type(layer) in _TRANSPARENT or (type(layer) is keras.layers.Activation and is_linear(layer))


def is_linear(layer: Any) -> bool:
    """Return whether a layer has no activation, or one that does nothing."""
    return layer.activation is None or layer.activation is keras.activations.linear


def check_batch_norm(layer: Any, call: Call) -> None:
    """Check that a BN layer can be folded.

    Raises:
        LeftError: the layer can't be folded.
    """
    if has_own_call(layer) or "call" in vars(layer):
        raise LeftError(f"{type(layer).__name__} may do anything in its call")
    if call.arguments.get("training"):
        raise LeftError("it is called with training=True, which normalises by the batch")
    if call.x is None or call.positional > 1:
        raise LeftError("it is called with arguments other than its input")
    mean, variance = double(layer.moving_mean), double(layer.moving_variance)
    sound = np.isfinite(mean) & np.isfinite(variance) & (variance >= 0)
    if not sound.all():
        wrong = int(np.flatnonzero(~sound)[0])
        raise LeftError(
            f"its moving statistics of channel {wrong} are the mean {mean[wrong]:g} and the variance "
            f"{variance[wrong]:g}; calibrate the model first"
        )
    if not all(np.isfinite(value).all() for value in scale_and_shift(layer)):
        raise LeftError("its scale or shift is not finite")


def check_mixer(layer: Any, name: str) -> None:
    """Check that a layer is a convolution or dense layer that can take over a BN layer.

    Raises:
        NoCandidateError: the layer is not such a layer.
        LeftError: the layer is one, but has an obstacle.
    """
    base = base_of(layer)
    if base is None:
        raise NoCandidateError(f"{name} is not a convolution or dense layer")
    own = [part for part in _COMPUTES if getattr(type(layer), part, None) is not getattr(base, part, None)]
    if own or "call" in vars(layer):
        raise LeftError(f"{name} may do anything in its call")
    if getattr(layer, "quantization_mode", None) is not None:
        raise LeftError(f"{name} is quantised; fold before quantising")
    if getattr(layer, "lora_enabled", False):
        raise LeftError(f"{name} has LoRA weights, which compute its kernel")
    if layer.activity_regularizer is not None:
        raise LeftError(f"{name} has an activity_regularizer, which sees its own output")


def check_axis(batch_norm: Any, rank: int, mixer: Any, name: str) -> None:
    """Check that a BN layer has its channels on the same axis as the layer next to it.

    Raises:
        LeftError: the axes differ.
    """
    base = base_of(mixer)
    first = getattr(mixer, "data_format", "channels_last") == "channels_first"
    expected = 1 if first else rank - 1
    if base is None or (MIXERS[base] and rank != MIXERS[base] + 2) or batch_norm.axis % rank != expected:
        raise LeftError(f"it normalises another axis than the one on which {name} has its channels")


def base_of(layer: Any) -> type | None:
    """Return the layer's class among those of Keras that can take over a BN layer."""
    return next((kind for kind in type(layer).__mro__ if kind in MIXERS), None)


def pads_with_zeros(layer: Any) -> bool:
    """Return whether a convolution multiplies its kernel with zeros at the borders."""
    return getattr(layer, "padding", "valid") != "valid" and any(
        size > 1 for size in np.atleast_1d(layer.kernel_size)
    )
