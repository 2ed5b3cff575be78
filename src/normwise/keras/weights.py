"""Weights of the layer: made when it is built, and updated by each training batch."""

import math
from typing import Any

import keras

from normwise.keras.moments import BatchMoments, Tensor, of_type
from normwise.keras.untyped import ops


def add_weights(layer: Any, channels: int, *, counting: bool) -> None:
    """Add the weights of a layer to it, in Keras's order; the number of batches last, if it is counted."""
    layer.gamma = _affine(layer, "gamma", channels) if layer.scale else None
    layer.beta = _affine(layer, "beta", channels) if layer.center else None

    def moving(name: str, initializer: Any) -> Any:
        return layer.add_weight(
            shape=(channels,), name=name, initializer=initializer, trainable=False, autocast=False
        )

    def initial_deviation(shape: Any, dtype: Any = None) -> Any:
        return ops.sqrt(_again(layer.moving_variance_initializer)(shape, dtype=dtype))

    layer.moving_mean = moving("moving_mean", layer.moving_mean_initializer)
    layer.moving_variance = moving("moving_variance", layer.moving_variance_initializer)
    if layer.renorm:
        # As in Keras: deviations, initially the square roots of the initial variance.
        layer.moving_stddev = moving("moving_stddev", initial_deviation)
        layer.renorm_mean = moving("renorm_mean", _again(layer.moving_mean_initializer))
        layer.renorm_stddev = moving("renorm_stddev", initial_deviation)
    if counting:
        layer.batches = layer.add_weight(
            shape=(), name="batches", dtype="int32", initializer="zeros", trainable=False, autocast=False
        )


def move_statistics(layer: Any, found: BatchMoments) -> None:
    """Update the moving statistics of a layer with those of a batch, unless it has no real position."""
    count = found.positions
    some = True if isinstance(count, int) else count > 0
    if some is True and count == 0:
        return
    mean, variance = ops.stop_gradient(found.mean), ops.stop_gradient(found.variance)
    share: Any = layer.momentum
    if layer.momentum is None:
        before = ops.cast(layer.batches, mean.dtype)
        share = before / (before + 1)

    kind = keras.backend.standardize_dtype(mean.dtype)

    def move(weight: Any, batch: Tensor, share: Any) -> Tensor:
        was = of_type(weight, kind)
        new = was * share + batch * (1 - share)
        weight.assign(new if some is True else ops.where(some, new, was))
        return new

    corrected = variance * _bessel(count) if layer.unbiased_moving_variance else variance
    move(layer.moving_mean, mean, share)
    if layer.renorm:
        move(layer.renorm_mean, mean, layer.renorm_momentum)
        move(layer.renorm_stddev, ops.sqrt(variance + layer.epsilon), layer.renorm_momentum)
        squares = ops.square(move(layer.moving_stddev, ops.sqrt(corrected + layer.epsilon), share))
        # The square of a rounded square root may be less than the original number.
        new = ops.clip(squares - layer.epsilon, 0.0, math.inf)
        was = of_type(layer.moving_variance, kind)
        layer.moving_variance.assign(new if some is True else ops.where(some, new, was))
    else:
        move(layer.moving_variance, corrected, share)
    if layer.batches is not None:
        layer.batches.assign(layer.batches + (1 if some is True else ops.cast(ops.any(some), "int32")))


def _affine(layer: Any, name: str, channels: int) -> Any:
    return layer.add_weight(
        shape=(channels,),
        name=name,
        initializer=getattr(layer, f"{name}_initializer"),
        regularizer=getattr(layer, f"{name}_regularizer"),
        constraint=getattr(layer, f"{name}_constraint"),
        trainable=True,
        autocast=False,
    )


def _again(initializer: Any) -> Any:
    """Return a separate copy of an initializer, since one with a seed gives each weight the same values."""
    if isinstance(initializer, keras.initializers.Initializer):
        return initializer.__class__.from_config(initializer.get_config())
    return initializer


def _bessel(count: Any) -> Any:
    """Return count / (count - 1), and 1 for one value, which has no variance to correct."""
    if isinstance(count, int):
        return count / max(count - 1, 1)
    return count / ops.maximum(count - 1, ops.ones_like(count))
