"""Kinds of layers, and the axis of their features."""

from typing import Any

import keras

layers = keras.layers

_CONVOLUTIONS = (
    layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Conv1DTranspose, layers.Conv2DTranspose,
    layers.Conv3DTranspose, layers.DepthwiseConv1D, layers.DepthwiseConv2D, layers.SeparableConv1D,
    layers.SeparableConv2D,
)  # fmt: skip
_FEATURES_LAST = (
    layers.Dense, layers.EinsumDense, layers.LSTM, layers.GRU, layers.SimpleRNN, layers.RNN, layers.Bidirectional,
    layers.Embedding, layers.MultiHeadAttention, layers.GroupQueryAttention,
)  # fmt: skip
#: Elementwise layers, which keep the axis of features.
_SINGLE_VALUES = (
    layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.PReLU, layers.Dropout,
    layers.GaussianDropout, layers.GaussianNoise, layers.AlphaDropout, layers.ActivityRegularization, layers.Identity,
)  # fmt: skip
_DROPOUTS = (
    layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D,
    layers.GaussianDropout, layers.AlphaDropout,
)  # fmt: skip
#: Layers between dropout and BN that preserve a shift of the variance.
_CARRIERS = (
    *_CONVOLUTIONS, *_SINGLE_VALUES, layers.Dense, layers.Add, layers.Subtract, layers.Average, layers.Multiply,
    layers.Concatenate, layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D, layers.AveragePooling1D,
    layers.AveragePooling2D, layers.AveragePooling3D, layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D,
    layers.GlobalAveragePooling3D, layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D,
    layers.Flatten, layers.Reshape, layers.Permute, layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D,
    layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D, layers.Softmax,
)  # fmt: skip


def is_norm(layer: Any) -> bool:
    """Return whether a layer is a BN layer."""
    return isinstance(layer, layers.BatchNormalization)


def has_bias(layer: Any) -> bool:
    """Return whether a layer adds a bias to each channel as the last thing that it does."""
    return (
        isinstance(layer, (layers.Dense, *_CONVOLUTIONS))
        and getattr(layer, "bias", None) is not None
        and is_linear(layer)
    )


def is_linear(layer: Any) -> bool:
    """Return whether a layer has no activation."""
    return getattr(layer, "activation", None) in (None, keras.activations.linear)


def feature_axis(layer: Any, rank: int) -> int | None:
    """Return the non-negative axis of a layer's features; None if unknown."""
    if isinstance(layer, _CONVOLUTIONS):
        return 1 if layer.data_format == "channels_first" else rank - 1
    if isinstance(layer, _FEATURES_LAST):
        return rank - 1
    return None


def keeps_axes(layer: Any) -> bool:
    """Return whether a layer computes each value of its one input by itself."""
    return isinstance(layer, _SINGLE_VALUES)


def dropout_rate(layer: Any) -> float:
    """Return the rate of a layer of dropout; 0 for others."""
    return float(layer.rate) if isinstance(layer, _DROPOUTS) else 0.0


def carries_dropout(layer: Any) -> bool:
    """Return whether a layer's output varies more if its input does."""
    # Operators such as + are in a graph as operations, not as layers.
    return isinstance(layer, _CARRIERS) or not isinstance(layer, keras.layers.Layer)


def makes_probabilities(layer: Any) -> bool:
    """Return whether a layer makes probabilities of scores, and nothing else."""
    if isinstance(layer, layers.Softmax):
        return True
    known = (keras.activations.softmax, keras.activations.sigmoid, keras.activations.log_softmax)
    return isinstance(layer, layers.Activation) and layer.activation in known
