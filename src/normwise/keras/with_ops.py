"""Batch normalization in ``keras.ops``, for TensorFlow and JAX, and where torch's kernels don't apply."""

from typing import Any

from normwise.keras.call import Call
from normwise.keras.moments import BatchMoments, Tensor, batch_moments, moments_in_parts, moments_type
from normwise.keras.synchronised import merged
from normwise.keras.untyped import ops


def batch_normalization(call: Call) -> tuple[Tensor, BatchMoments | None]:
    """Return the output of a call, and the moments of its batch in training."""
    x = ops.cast(call.x, moments_type(call.x))
    shape = [1] * len(x.shape)
    shape[call.axis] = x.shape[call.axis]
    if call.statistics is not None:
        mean, variance = (ops.reshape(value, shape) for value in call.statistics)
        found, deviations, spread = None, x - mean, variance
    else:
        if call.virtual_batch_size is None:
            found = batch_moments(x, call.axis, call.mask)
        else:
            found = moments_in_parts(x, call.axis, call.virtual_batch_size, call.mask)
        if call.synchronized:
            found = merged(found, shape, call.name)
        deviations, spread = found.deviations, found.spread
    gamma, beta = call.gamma, call.beta
    if found is not None and call.correct is not None:
        gamma, beta = call.correct(found, gamma, beta)
    scale = ops.rsqrt(spread + call.epsilon)
    y = deviations * (scale if gamma is None else scale * ops.reshape(gamma, shape))
    if beta is not None:
        y = y + ops.reshape(beta, shape)
    if call.residual is not None:
        y = y + ops.cast(call.residual, y.dtype)
    return _activated(y, call.activation), found


def _activated(y: Tensor, activation: Any) -> Tensor:
    return y if activation is None else activation(y)
