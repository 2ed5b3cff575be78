"""Moments of each channel of a batch, in ``keras.ops``, exact at any mean and with gradients."""

import math
from typing import Any, NamedTuple

import keras

from normwise.keras.untyped import ops

#: A tensor of whatever backend Keras runs on.
Tensor = Any


class BatchMoments(NamedTuple):
    """Moments of a batch, or of each of its parts, and what is left of the batch without its mean.

    Attributes:
        positions: Real ones of each channel: a number where it is known, else a tensor of the type of the moments,
            0-dimensional, or ``(C,)`` where channels have masks of their own.
        mean: ``(C,)``.
        variance: The biased one, ``(C,)``.
        deviations: ``x - mean``, of the shape of ``x``; with parts, each from the mean of its own.
        spread: The variance that normalises ``deviations``, which broadcasts to them; of the part with parts. Both are
            None where the kernels have normalised already.
    """

    positions: Tensor | int
    mean: Tensor
    variance: Tensor
    deviations: Tensor = None
    spread: Tensor = None


def moments_type(x: Tensor) -> str:
    """Return the type in which the moments of a tensor are computed."""
    # Not result_type of Keras, which makes float32 of float64 on torch.
    return "float64" if keras.backend.standardize_dtype(x.dtype) == "float64" else "float32"


def batch_moments(x: Tensor, axis: int, mask: Tensor | None = None) -> BatchMoments:
    r"""Return the moments of a batch.

    .. math::

        \mu = p + \frac1m \sum_i (x_i - p) \qquad \sigma^2 = \frac1m \sum_i (x_i - \mu)^2

    with the channel's first value as :math:`p`: sums of float32 keep their digits at any mean, which those of
    ``keras.ops.moments`` lose, on some backends from a mean of 100 deviations on.

    Args:
        x: ``(N, ...)``, float32 or float64.
        axis: Of the channels, not negative.
        mask: Boolean, True where a position is real; it broadcasts to ``x``. Without a real position mean and variance
            are 0.
    """
    axes = tuple(a for a in range(len(x.shape)) if a != axis)
    if mask is None:
        first = tuple(slice(None) if a == axis else slice(0, 1) for a in range(len(x.shape)))
        # The sum of one value, or of none in an empty batch, whose mean and variance are 0.
        pivot = ops.sum(ops.stop_gradient(x[first]), axes, keepdims=True)
        count = positions_of(x, axis)
        some = max(count, 1) if isinstance(count, int) else ops.maximum(count, ops.ones_like(count))
        shifted = x - pivot
        rest = ops.sum(shifted, axes, keepdims=True) / some
        deviations = shifted - rest
        spread = ops.sum(ops.square(deviations), axes, keepdims=True) / some
        mean = pivot + rest
    else:
        real = _over_batch(mask, x, axis)
        counts = ops.sum(ops.cast(real, x.dtype), axes, keepdims=True)
        some = ops.maximum(counts, ops.ones_like(counts))
        count = _each_channel(counts, axis)
        first_mean = ops.sum(ops.where(real, x, ops.zeros_like(x)), axes, keepdims=True) / some
        rough = x - first_mean
        # The mean of many values has lost digits, the mean of what is left has them.
        rest = ops.sum(ops.where(real, rough, ops.zeros_like(x)), axes, keepdims=True) / some
        deviations = rough - rest
        inside = ops.where(real, deviations, ops.zeros_like(x))
        spread = ops.sum(ops.square(inside), axes, keepdims=True) / some
        mean = first_mean + rest
    return BatchMoments(count, ops.reshape(mean, (-1,)), ops.reshape(spread, (-1,)), deviations, spread)


def moments_in_parts(x: Tensor, axis: int, most: int, mask: Tensor | None = None) -> BatchMoments:
    """Return the moments of a batch whose parts are normalised each by its own, as :func:`part_numbers` cuts it.

    ``mean`` and ``variance`` are those of the whole batch.

    Args:
        x: ``(N, ...)``, float32 or float64; N is the first axis.
        axis: Of the channels, 1 or more.
        most: Samples of a part at most.
        mask: See :func:`batch_moments`.
    """
    axes = tuple(a for a in range(1, len(x.shape)) if a != axis)
    real = None if mask is None else _over_batch(mask, x, axis)
    numbers, parts = part_numbers(ops.shape(x)[0], most, math.prod(known(x, axes)) if axes else 1)
    ones = ops.ones_like(x[(slice(None), *(slice(0, 1),) * (len(x.shape) - 1))])
    each = ones * ops.cast(math.prod(known(x, axes)), x.dtype)
    if real is not None:
        each = ops.sum(ops.cast(real, x.dtype), axes, keepdims=True)
    counts = _added(each, numbers, parts)
    some = ops.maximum(counts, ops.ones_like(counts))

    def mean_of_parts(values: Tensor) -> Tensor:
        chosen = values if real is None else ops.where(real, values, ops.zeros_like(values))
        return _added(ops.sum(chosen, axes, keepdims=True), numbers, parts) / some

    # About the mean of the parts, so that means are small and their differences exact.
    pivot = ops.stop_gradient(ops.mean(mean_of_parts(x), 0, keepdims=True))
    shifted = x - pivot
    means = mean_of_parts(shifted)
    rough = shifted - ops.take(means, numbers, axis=0)
    rest = mean_of_parts(rough)
    deviations = rough - ops.take(rest, numbers, axis=0)
    variances = mean_of_parts(ops.square(deviations))
    means = means + rest
    count = ops.sum(counts, 0, keepdims=True)
    shares = counts / ops.maximum(count, ops.ones_like(count))
    mean = ops.sum(shares * means, 0, keepdims=True)
    variance = ops.sum(shares * (variances + ops.square(means - mean)), 0)
    mean = pivot + mean
    spread = ops.take(variances, numbers, axis=0)
    count = _each_channel(count, axis)
    return BatchMoments(count, ops.reshape(mean, (-1,)), ops.reshape(variance, (-1,)), deviations, spread)


def part_numbers(samples: Any, most: int, values: Any) -> tuple[Tensor, Any]:
    """Return the part of each sample, ``(N,)``, and how many there are.

    Parts are consecutive samples, as equal as can be and none more than ``most``; where a sample has one value per
    channel a part has two samples at least.

    Args:
        samples: N, a number or, on TensorFlow, a tensor.
        most: Samples of a part at most.
        values: Values per channel of one sample.
    """
    parts = -(-samples // most)
    if isinstance(samples, int):
        if isinstance(values, int) and values == 1:
            parts = min(parts, samples // 2)
        parts = max(parts, 1)
    else:
        halves = ops.where(ops.equal(values, 1), samples // 2, samples)
        parts = ops.maximum(ops.minimum(parts, halves), 1)
    size, more = samples // parts, samples % parts
    order = ops.arange(samples, dtype="int32")
    # The first parts have one sample more.
    early = order // (size + 1)
    late = more + (order - more * (size + 1)) // ops.maximum(size, 1)
    return ops.where(order < more * (size + 1), early, late), parts


def positions_of(x: Tensor, axis: int) -> Tensor | int:
    """Return how many values a channel has, as a number where it is known, else as a tensor of the type of ``x``."""
    count = math.prod(known(x, [a for a in range(len(x.shape)) if a != axis]))
    return count if isinstance(count, int) else ops.cast(count, x.dtype)


def known(x: Tensor, axes: Any) -> list[Any]:
    """Return sizes of axes: numbers, and tensors of TensorFlow where they are not known."""
    shape = ops.shape(x)
    return [shape[a] for a in axes]


def _over_batch(mask: Tensor, x: Tensor, axis: int) -> Tensor:
    """Return a mask of the size of the batch, with one channel where it has one."""
    one = mask.shape[axis] == 1
    return ops.broadcast_to(
        mask, tuple(1 if one and a == axis else size for a, size in enumerate(ops.shape(x)))
    )


def _each_channel(counts: Tensor, axis: int) -> Tensor:
    """Return counts without axes of size 1: a scalar, or ``(C,)`` where channels have counts of their own."""
    return ops.reshape(counts, () if counts.shape[axis] == 1 else (-1,))


def _added(values: Tensor, numbers: Tensor, parts: Any) -> Tensor:
    """Return sums over the samples of each part."""
    return ops.segment_sum(values, numbers, num_segments=parts)
