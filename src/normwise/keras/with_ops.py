"""Batch normalization in ``keras.ops``, for TensorFlow and JAX, and if our kernels for torch don't apply."""

from typing import Any

from normwise.keras.call import Call
from normwise.keras.moments import (
    BatchMoments,
    Tensor,
    batch_moments,
    moments_in_parts,
    moments_type,
    of_type,
)
from normwise.keras.synchronised import merged
from normwise.keras.untyped import ops


def batch_normalization(call: Call) -> tuple[Tensor, BatchMoments | None]:
    """Return the output of a call, and the moments of its batch in training."""
    x = of_type(call.x, moments_type(call.x))
    shape = [1] * len(x.shape)
    shape[call.axis] = x.shape[call.axis]
    if call.statistics is not None:
        mean, spread = (ops.reshape(value, shape) for value in call.statistics)
        found, deviations, rest = None, x - mean, None
    else:
        if call.virtual_batch_size is None:
            found = batch_moments(x, call.axis, call.mask)
        else:
            found = moments_in_parts(x, call.axis, call.virtual_batch_size, call.mask)
        if call.synchronized:
            found = merged(found, shape, call.name)
        deviations, rest, spread = found.deviations, found.rest, found.spread
    gamma, beta = call.gamma, call.beta
    if found is not None and call.correct is not None:
        gamma, beta = call.correct(found, gamma, beta)
    scale = ops.rsqrt(spread + call.epsilon)
    if gamma is not None:
        scale = scale * ops.reshape(gamma, shape)
    y = deviations * scale
    shift = None if beta is None else ops.reshape(beta, shape)
    if rest is not None:
        # Of size ``(C,)``: all sums over the batch that its gradient needs are those of γ and β.
        shift = -rest * scale if shift is None else shift - rest * scale
    if shift is not None:
        y = y + shift
    if call.residual is not None:
        y = y + of_type(call.residual, moments_type(y))
    return _activated(y, call.activation), found


def _activated(y: Tensor, activation: Any) -> Tensor:
    return y if activation is None else activation(y)
