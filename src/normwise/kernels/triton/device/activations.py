"""The activations of :mod:`normwise.activations` on a GPU, by their numbers there, in float32."""

# Triton's language has types of its own, which Python's don't describe.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportAttributeAccessIssue=false

import triton
import triton.language as tl

# Of the natural logarithm of 2, so many leading bits that its multiples by small whole numbers are exact; and the rest.
_LN2_HIGH = tl.constexpr(0.693359375)
_LN2_LOW = tl.constexpr(-2.12194440e-4)
_LOG2_E = tl.constexpr(1.4426950408889634)
_SQRT_HALF = tl.constexpr(0.7071067811865476)
_INVERSE_SQRT_TAU = tl.constexpr(0.3989422804014327)


@triton.jit
def _exp_of_negative(z):
    """Return exp(z) for z ≤ 0, to rounding: the GPU's own loses a digit where z is large."""
    z = tl.where(z < -104.0, -104.0, z)
    whole = tl.floor(tl.fma(z, _LOG2_E, 0.5))
    rest = tl.fma(whole, -_LN2_LOW, tl.fma(whole, -_LN2_HIGH, z))
    # In two factors, since the smallest results are smaller than any power of 2 that the GPU computes.
    half = tl.floor(whole * 0.5)
    return tl.exp(rest) * tl.exp2(half) * tl.exp2(whole - half)


@triton.jit
def _expm1_of_negative(z):
    """Return exp(z) - 1 for z ≤ 0, by its series where the difference would cancel."""
    series = tl.fma(z, 1.0 / 40320.0, 1.0 / 5040.0)
    series = tl.fma(series, z, 1.0 / 720.0)
    series = tl.fma(series, z, 1.0 / 120.0)
    series = tl.fma(series, z, 1.0 / 24.0)
    series = tl.fma(series, z, 1.0 / 6.0)
    series = tl.fma(series, z, 0.5)
    series = tl.fma(series * z, z, z)
    return tl.where(z > -0.35, series, _exp_of_negative(z) - 1.0)


@triton.jit
def _sigmoid(z):
    e = _exp_of_negative(-tl.abs(z))
    return tl.where(z >= 0, 1.0, e) / (1.0 + e)


@triton.jit
def _tanh(z):
    e = _expm1_of_negative(-2.0 * tl.abs(z))
    # The sign as a factor: NaN stays NaN.
    return tl.where(z < 0, 1.0, -1.0) * (e / (2.0 + e))


@triton.jit
def activate(z, ACTIVATION: tl.constexpr):
    """Return the activation of z; NaN stays NaN."""
    if ACTIVATION == 1:  # relu
        z = tl.where(z <= 0, 0.0, z)
    elif ACTIVATION == 2:  # relu6
        z = tl.where(z <= 0, 0.0, tl.where(z >= 6, 6.0, z))
    elif ACTIVATION == 3:  # leaky_relu
        z = tl.where(z > 0, z, 0.01 * z)
    elif ACTIVATION == 4:  # elu
        z = tl.where(z > 0, z, _expm1_of_negative(tl.where(z > 0, 0.0, z)))
    elif ACTIVATION == 5:  # gelu
        z = z * (0.5 * (1.0 + tl.erf(z * _SQRT_HALF)))
    elif ACTIVATION == 6:  # silu
        z = z * _sigmoid(z)
    elif ACTIVATION == 7:  # hardswish
        z = tl.where(z <= -3, 0.0, tl.where(z >= 3, z, z * (z + 3.0) / 6.0))
    elif ACTIVATION == 8:  # sigmoid
        z = _sigmoid(z)
    elif ACTIVATION == 9:  # tanh
        z = _tanh(z)
    return z


@triton.jit
def with_slope(gradient, z, ACTIVATION: tl.constexpr):
    """Return the gradient times the slope of the activation at z."""
    if ACTIVATION == 1:  # relu
        gradient = tl.where(z <= 0, 0.0, gradient)
    elif ACTIVATION == 2:  # relu6
        gradient = tl.where((z <= 0) | (z >= 6), 0.0, gradient)
    elif ACTIVATION == 3:  # leaky_relu
        gradient = tl.where(z > 0, gradient, 0.01 * gradient)
    elif ACTIVATION == 4:  # elu
        gradient = tl.where(z > 0, gradient, gradient * _exp_of_negative(tl.where(z > 0, 0.0, z)))
    elif ACTIVATION == 5:  # gelu
        cumulative = 0.5 * (1.0 + tl.erf(z * _SQRT_HALF))
        density = _INVERSE_SQRT_TAU * _exp_of_negative(-0.5 * z * z)
        gradient = gradient * tl.fma(z, density, cumulative)
    elif ACTIVATION == 6:  # silu
        s = _sigmoid(z)
        gradient = gradient * (s * tl.fma(z, 1.0 - s, 1.0))
    elif ACTIVATION == 7:  # hardswish
        gradient = tl.where(z <= -3, 0.0, tl.where(z < 3, gradient * tl.fma(z, 1.0 / 3.0, 0.5), gradient))
    elif ACTIVATION == 8:  # sigmoid
        s = _sigmoid(z)
        gradient = gradient * (s * (1.0 - s))
    elif ACTIVATION == 9:  # tanh
        y = _tanh(z)
        gradient = gradient * (1.0 - y * y)
    return gradient


@triton.jit
def undo(y, ACTIVATION: tl.constexpr):
    """Return the z of which y is the activation, where it is none or a leaky ReLU."""
    if ACTIVATION == 3:
        y = tl.where(y > 0, y, y * 100.0)
    return y
