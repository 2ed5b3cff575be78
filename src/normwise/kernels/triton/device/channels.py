"""Numbers of a channel that a pass over its elements needs, computed in float64 and rounded to float32."""

# Triton's language has types of its own, which Python's don't describe.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportAttributeAccessIssue=false

import triton
import triton.language as tl


@triton.jit
def parameters_of(weight, bias, channel, there):
    """Return γ and β of channels in float64; 1 and 0 where there is no parameter."""
    gamma = tl.full(channel.shape, 1.0, tl.float64)
    beta = tl.full(channel.shape, 0.0, tl.float64)
    if weight is not None:
        gamma = tl.load(weight + channel, mask=there, other=1.0).to(tl.float32).to(tl.float64)
    if bias is not None:
        beta = tl.load(bias + channel, mask=there, other=0.0).to(tl.float32).to(tl.float64)
    return gamma, beta


@triton.jit
def line_of(mean, inverse, gamma, beta):
    """Return float32 c, s, t, by which the output is ``fma(x - c, s, t)`` before it is activated.

    ``c`` is the mean rounded; what that rounding leaves goes into ``t``. Every pass computes the same bits.
    """
    centre = mean.to(tl.float32)
    scale = gamma * inverse
    shift = tl.fma(centre.to(tl.float64) - mean, scale, beta)
    return centre, scale.to(tl.float32), shift.to(tl.float32)


@triton.jit
def gradient_of(
    sum_g,
    sum_gd,
    count,
    mean,
    inverse,
    gamma,
    TRAINING: tl.constexpr,
    FROM_OUTPUT: tl.constexpr,
):
    """Return the gradient of γ in float64, and float32 k, j: the input's is ``s g + k d + j``.

    Args:
        sum_g: Sum of the gradient g of what is activated.
        sum_gd: Sum of g d, where d is ``x - c`` with c the rounded mean; from the output, the normalised input.
        count: Real positions.
        mean, inverse, gamma: Of the forward pass, float64.
        TRAINING: Whether the statistics are the batch's, and have a gradient.
        FROM_OUTPUT: Whether d is the normalised input.
    """
    if FROM_OUTPUT:
        off = mean * 0.0
        unit = inverse * 0.0 + 1.0
    else:
        off = mean - mean.to(tl.float32).to(tl.float64)
        unit = inverse
    of_gamma = unit * tl.fma(-off, sum_g, sum_gd)
    if TRAINING:
        share = gamma * inverse / tl.where(count > 1.0, count, 1.0)
        slope = -share * unit * of_gamma
        level = tl.fma(-off, slope, -share * sum_g)
    else:
        slope = mean * 0.0
        level = mean * 0.0
    return of_gamma, slope.to(tl.float32), level.to(tl.float32)
