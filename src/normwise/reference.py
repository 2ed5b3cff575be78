r"""Batch normalization in NumPy, float64, written as the paper's equations: the oracle of all tests.

Read it next to Ioffe & Szegedy 2015 (https://arxiv.org/abs/1502.03167): Algorithm 1 is
:func:`batch_norm` with ``training=True``, Algorithm 2's lines 8 to 11 are the same with
``training=False``, and the chain rule of section 3 is :func:`batch_norm_backward`. The code is not fast.

With the set :math:`R` of real positions (those where ``mask`` is True; all of them without a mask),
:math:`m = |R|` positions in each channel, and everything per channel:

.. math::

    \mu = \frac1m \sum_{i \in R} x_i \qquad
    \sigma^2 = \frac1m \sum_{i \in R} (x_i - \mu)^2 \qquad
    \hat x_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \epsilon}} \qquad
    y_i = a(\gamma \hat x_i + \beta + r_i)

Inputs have the shape ``(N, C, *)``, a mask ``(N, *)``; everything is converted to float64 first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normwise import activations
from normwise.errors import ArgumentError, MaskError, ShapeError

__all__ = ["ACTIVATIONS", "Forward", "Gradients", "batch_norm", "batch_norm_backward", "batch_statistics"]

Array = NDArray[np.float64]
_Pair = tuple[Callable[[Array], Array], Callable[[Array], Array]]


#: Name of each activation: the function and its derivative. At a kink the derivative is torch's choice.
ACTIVATIONS: dict[str, _Pair] = {
    name: (row.function, row.derivative) for name, row in activations.ACTIVATIONS.items()
}


@dataclass(frozen=True)
class Forward:
    """Result of :func:`batch_norm`.

    Attributes:
        output: Output ``(N, C, *)``; 0 where the mask is False.
        mean, var: Statistics that normalised, ``(C,)``: of the batch (biased variance), or the running ones.
        count: Number of elements per channel that took part, :math:`m`.
        running_mean, running_var: Running statistics ``(C,)`` after the update; None if not given.
        x_hat: Normalised input.
        z: Input of the activation.
        real: Mask ``(N, 1, *)``, boolean.
    """

    output: Array
    mean: Array
    var: Array
    count: int
    running_mean: Array | None
    running_var: Array | None
    x_hat: Array
    z: Array
    real: NDArray[np.bool_]
    weight: Array
    inv_std: Array
    used_batch_statistics: bool
    activation: str | None


@dataclass(frozen=True)
class Gradients:
    """Gradients of the loss with respect to ``x`` and ``residual`` ``(N, C, *)``, ``weight`` and ``bias`` ``(C,)``."""

    x: Array
    weight: Array
    bias: Array
    residual: Array


def batch_statistics(x: ArrayLike, mask: ArrayLike | None = None) -> tuple[Array, Array, int]:
    """Return mean and biased variance of each channel over the real positions, and the number of these.

    Without a real position both are 0.
    """
    values = np.asarray(x, dtype=np.float64)
    real = _real(values, mask)
    axes = _batch_axes(values)
    count = int(real.sum())
    m = max(count, 1)
    # A masked position may hold anything, even NaN: select, don't multiply.
    mean = np.where(real, values, 0.0).sum(axes) / m
    centred = np.where(real, values - _channels(mean, values), 0.0)
    # The mean is rounded; without this correction its error, squared, stays in the variance (Chan,
    # Golub & LeVeque 1983, eq. 1.7), which shows where the mean is far larger than the deviation.
    error = centred.sum(axes) / m
    return mean + error, (centred**2).sum(axes) / m - error**2, count


def batch_norm(
    x: ArrayLike,
    running_mean: ArrayLike | None = None,
    running_var: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    activation: str | None = None,
    residual: ArrayLike | None = None,
    mask: ArrayLike | None = None,
) -> Forward:
    r"""Normalise, scale, shift, add the residual, activate; the arguments are ``functional.batch_norm``'s.

    Running statistics (training only; the given arrays are unchanged, the new ones are returned):

    .. math::

        \text{running} \leftarrow (1 - \text{momentum}) \, \text{running} + \text{momentum} \cdot s

    with :math:`s = \mu` for the mean and :math:`s = \sigma^2 m / (m - 1)` (Bessel) for the variance.
    With fewer than two real positions there is no variance, and they stay unchanged.

    Raises:
        ShapeError: the input has one value per channel in training, without a mask.
        MaskError: the mask is not boolean or not of shape ``(N, *)``.
        ArgumentError: the activation is unknown, or evaluation has no running statistics.
    """
    values = np.asarray(x, dtype=np.float64)
    channels = values.shape[1]
    real = _real(values, mask)
    gamma = np.ones(channels) if weight is None else np.asarray(weight, dtype=np.float64)
    beta = np.zeros(channels) if bias is None else np.asarray(bias, dtype=np.float64)
    new_mean = None if running_mean is None else np.array(running_mean, dtype=np.float64)
    new_var = None if running_var is None else np.array(running_var, dtype=np.float64)
    mean, var, count = batch_statistics(values, mask)
    if training:
        if mask is None and count == 1:
            raise ShapeError(f"one value per channel has no variance: shape {values.shape}")
        if count > 1 and new_mean is not None:
            new_mean = (1 - momentum) * new_mean + momentum * mean
        if count > 1 and new_var is not None:
            new_var = (1 - momentum) * new_var + momentum * var * count / (count - 1)
    elif new_mean is None or new_var is None:
        raise ArgumentError("evaluation needs running_mean and running_var")
    else:
        mean, var = new_mean, new_var

    inv_std = 1.0 / np.sqrt(var + eps)
    x_hat = np.where(real, (values - _channels(mean, values)) * _channels(inv_std, values), 0.0)
    z = _channels(gamma, values) * x_hat + _channels(beta, values)
    if residual is not None:
        z = z + np.where(real, np.asarray(residual, dtype=np.float64), 0.0)
    output = np.where(real, _activation(activation)[0](z), 0.0)
    return Forward(
        output, mean, var, count, new_mean, new_var, x_hat, z, real, gamma, inv_std, training, activation
    )


def batch_norm_backward(forward: Forward, grad_output: ArrayLike) -> Gradients:
    r"""Apply the chain rule to :func:`batch_norm`, with :math:`g_i = \partial\ell/\partial z_i`.

    With batch statistics the six lines of the paper's section 3 collapse into

    .. math::

        \frac{\partial\ell}{\partial x_i} = \frac{\gamma}{\sqrt{\sigma^2+\epsilon}}
        \Bigl(g_i - \frac1m \sum_{j \in R} g_j - \hat x_i \frac1m \sum_{j \in R} g_j \hat x_j\Bigr)

    and with running statistics only the first term remains.
    """
    slope = _activation(forward.activation)[1](forward.z)
    g = np.where(forward.real, np.asarray(grad_output, dtype=np.float64) * slope, 0.0)
    axes = _batch_axes(g)
    grad_bias = g.sum(axes)
    grad_weight = (g * forward.x_hat).sum(axes)
    grad_x = g
    if forward.used_batch_statistics:
        m = max(forward.count, 1)
        grad_x = g - _channels(grad_bias / m, g) - forward.x_hat * _channels(grad_weight / m, g)
    grad_x = np.where(forward.real, grad_x * _channels(forward.weight * forward.inv_std, g), 0.0)
    return Gradients(x=grad_x, weight=grad_weight, bias=grad_bias, residual=g)


def _identity(z: Array) -> Array:
    return z


def _activation(name: str | None) -> _Pair:
    if name is None:
        return _identity, np.ones_like
    if name not in ACTIVATIONS:
        raise ArgumentError(f"unknown activation {name!r}; known are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def _real(x: Array, mask: ArrayLike | None) -> NDArray[np.bool_]:
    expected = (x.shape[0], *x.shape[2:])
    real: NDArray[Any] = np.ones(expected, dtype=bool) if mask is None else np.asarray(mask)
    if real.dtype != bool or real.shape != expected:
        raise MaskError(f"expected a boolean mask of shape {expected}, got {real.dtype} of {real.shape}")
    return np.expand_dims(real, 1)


def _batch_axes(x: Array) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _channels(per_channel: Array, x: Array) -> Array:
    """Return ``(C,)`` reshaped to broadcast over ``(N, C, *)``."""
    return per_channel.reshape(-1, *([1] * (x.ndim - 2)))
