"""Moments of each channel of a batch, in ``keras.ops``, exact at any mean and with gradients."""

import math
from typing import Any, NamedTuple

import keras
import numpy as np

from normwise.keras.untyped import ops

#: Tensor of Keras's backend.
Tensor = Any


class BatchMoments(NamedTuple):
    """Moments of a batch, or of each of its parts, and the deviations of the batch from its mean.

    Attributes:
        positions: Number of real positions of each channel: a number if known, else a tensor of the moments' dtype,
            0-dimensional, or ``(C,)`` if channels have their own masks.
        mean: Mean of each channel, ``(C,)``.
        variance: Biased variance of each channel, ``(C,)``.
        deviations: ``x`` minus a constant close to the mean, of the shape of ``x``; with parts, the constant of
            each part.
        rest: Mean minus that constant, which broadcasts to ``deviations``, with the gradient of the mean.
        spread: Variance that normalises, of the batch or part, which broadcasts to ``deviations``. These three are
            None if the kernels have normalised already.
    """

    positions: Tensor | int
    mean: Tensor
    variance: Tensor
    deviations: Tensor = None
    rest: Tensor = None
    spread: Tensor = None


def moments_type(x: Tensor) -> str:
    """Return the dtype in which the moments of a tensor are computed."""
    # Not Keras's result_type, which turns float64 into float32 on torch.
    return "float64" if keras.backend.standardize_dtype(x.dtype) == "float64" else "float32"


def of_type(value: Tensor, kind: Any) -> Tensor:
    """Return a tensor, or the value of a variable, in a dtype, unchanged if it has it already."""
    # On torch, a cast of Keras without effect takes as long as an operator.
    if isinstance(value, keras.Variable):
        value = value.value
    return value if keras.backend.standardize_dtype(value.dtype) == kind else ops.cast(value, kind)


def batch_moments(x: Tensor, axis: int, mask: Tensor | None = None) -> BatchMoments:
    r"""Return the moments of a batch.

    .. math::

        \mu = c + \frac1m \sum_i (x_i - c) \qquad \sigma^2 = \frac1m \sum_i (x_i - c)^2 - (\mu - c)^2

    where the constant :math:`c` is the mean, rounded to the dtype of ``x``. It is summed from differences to one of
    the values, so no digits are lost at any mean, as they are in ``keras.ops.moments``. :math:`\mu - c` has the
    mean's digits beyond that dtype, and the derivatives of any order, without a further sum.

    Args:
        x: Input ``(N, ...)``, float32 or float64.
        axis: Axis of the channels, not negative.
        mask: Boolean mask, True where a position is real; it broadcasts to ``x``. Without a real position mean and
            variance are 0.
    """
    axes = tuple(a for a in range(len(x.shape)) if a != axis)
    samples, *others = axes
    real = None if mask is None else _over_batch(mask, x, axis)
    if real is None:
        count = some = positions_of(x, axis)
    else:
        some = ops.sum(ops.cast(real, x.dtype), axes, keepdims=True)
        count = _each_channel(some, axis)
    some = _at_least_one(some, x.dtype)

    def chosen(values: Tensor) -> Tensor:
        return values if real is None else ops.where(real, values, ops.zeros_like(values))

    def mean_of(values: Tensor) -> Tensor:
        # First of each sample: TensorFlow sums one value after the other, and loses more digits in longer
        # sums.
        of_samples = ops.sum(values, tuple(others), keepdims=True) if others else values
        return ops.sum(of_samples, samples, keepdims=True) / some

    pivot = _pivot(x, axes, real)
    shifted_mean = mean_of(chosen(x - pivot))
    about = pivot + _rounded(ops.stop_gradient(shifted_mean))
    # The rounding error of the sum, and the gradient of the mean.
    rest = (pivot - about) + shifted_mean
    deviations = x - about
    # Select before the square, whose derivative is NaN if padding holds NaN.
    spread = _not_negative(mean_of(ops.square(chosen(deviations))) - ops.square(rest))
    mean, variance = (ops.reshape(value, (-1,)) for value in (about + rest, spread))
    return BatchMoments(count, mean, variance, deviations, rest, spread)


def moments_in_parts(x: Tensor, axis: int, most: int, mask: Tensor | None = None) -> BatchMoments:
    """Return the moments of a batch that is normalised in parts, as :func:`part_numbers` cuts it.

    ``mean`` and ``variance`` are those of the whole batch. A part without a real position has mean and variance 0.

    Args:
        x: Input ``(N, ...)``, float32 or float64; N is the first axis.
        axis: Axis of the channels, 1 or more.
        most: Most samples of a part.
        mask: Boolean mask, see :func:`batch_moments`.
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

    def chosen(values: Tensor) -> Tensor:
        return values if real is None else ops.where(real, values, ops.zeros_like(values))

    def mean_of_parts(values: Tensor) -> Tensor:
        return _added(ops.sum(values, axes, keepdims=True), numbers, parts) / some

    # Each part by itself: values of another part cost no digits, and NaN does not spread.
    pivots = _rounded(mean_of_parts(chosen(ops.stop_gradient(x))))
    shifted_means = mean_of_parts(chosen(x - ops.take(pivots, numbers, axis=0)))
    about = pivots + _rounded(ops.stop_gradient(shifted_means))
    rests = (pivots - about) + shifted_means
    deviations = x - ops.take(about, numbers, axis=0)
    variances = _not_negative(mean_of_parts(ops.square(chosen(deviations))) - ops.square(rests))
    count = ops.sum(counts, 0, keepdims=True)
    shares = counts / ops.maximum(count, ops.ones_like(count))
    middle = _rounded(ops.sum(shares * about, 0, keepdims=True))
    offsets = (about - middle) + rests
    offset = ops.sum(shares * offsets, 0, keepdims=True)
    variance = ops.sum(shares * (variances + ops.square(offsets - offset)), 0)
    mean, variance = (ops.reshape(value, (-1,)) for value in (middle + offset, variance))
    rest, spread = (ops.take(values, numbers, axis=0) for values in (rests, variances))
    return BatchMoments(_each_channel(count, axis), mean, variance, deviations, rest, spread)


def part_numbers(samples: Any, most: int, values: Any) -> tuple[Tensor, Any]:
    """Return the part of each sample, ``(N,)``, and the number of parts.

    Parts are consecutive samples, as equal as possible, with at most ``most`` samples; if a sample has one value
    per channel, a part has at least two samples.

    Args:
        samples: Number of samples N; on TensorFlow it may be a tensor.
        most: Most samples of a part.
        values: Number of values per channel of one sample.
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
    """Return the number of values per channel, as a number if known, else as a tensor of the dtype of ``x``."""
    count = math.prod(known(x, [a for a in range(len(x.shape)) if a != axis]))
    return count if isinstance(count, int) else ops.cast(count, x.dtype)


def known(x: Tensor, axes: Any) -> list[Any]:
    """Return sizes of axes: numbers, or TensorFlow tensors if unknown."""
    shape = ops.shape(x)
    return [shape[a] for a in axes]


def _not_negative(variance: Tensor) -> Tensor:
    """Return a variance, 0 where rounding made the difference negative, with the derivatives of the difference."""
    return variance + ops.stop_gradient(ops.clip(-variance, 0.0, math.inf))


def _rounded(constant: Tensor) -> Tensor:
    """Return a finite constant that is rounded the same wherever a compiler recomputes it.

    XLA turns the division before it into a multiplication and fuses that with the subtraction after it, with one
    rounding for both: at a large mean, no two places would have the same constant.
    """
    largest = float(np.finfo(keras.backend.standardize_dtype(constant.dtype)).max)
    return ops.clip(constant, -largest, largest)


def _pivot(x: Tensor, axes: tuple[int, ...], real: Tensor | None) -> Tensor:
    """Return a value near the mean of each channel, without gradient, with one element along the axes.

    It is the first value; with a mask, the mean of all real values. The first of m values is at most √m deviations
    from their mean, so the rounding error of the sum is a small part of a deviation.
    """
    values = ops.stop_gradient(x)
    if real is None:
        first = tuple(slice(0, 1) if a in axes else slice(None) for a in range(len(x.shape)))
        # A sum over at most one value, since an empty batch has none.
        return ops.sum(values[first], axes, keepdims=True)
    counts = ops.sum(ops.cast(real, x.dtype), axes, keepdims=True)
    total = ops.sum(ops.where(real, values, ops.zeros_like(values)), axes, keepdims=True)
    return _rounded(total / ops.maximum(counts, ops.ones_like(counts)))


def _over_batch(mask: Tensor, x: Tensor, axis: int) -> Tensor:
    """Return a mask of the batch's size, with one channel if it has one."""
    one = mask.shape[axis] == 1
    return ops.broadcast_to(
        mask, tuple(1 if one and a == axis else size for a, size in enumerate(ops.shape(x)))
    )


def _each_channel(counts: Tensor, axis: int) -> Tensor:
    """Return counts without axes of size 1: a scalar, or ``(C,)`` if channels have their own counts."""
    return ops.reshape(counts, () if counts.shape[axis] == 1 else (-1,))


def _at_least_one(count: Tensor | int, kind: Any) -> Tensor | int:
    """Return a count to divide by: a number if known, else a tensor of a dtype."""
    if isinstance(count, int):
        return max(count, 1)
    count = ops.cast(count, kind)
    return ops.maximum(count, ops.ones_like(count))


def _added(values: Tensor, numbers: Tensor, parts: Any) -> Tensor:
    """Return sums over the samples of each part."""
    return ops.segment_sum(values, numbers, num_segments=parts)
