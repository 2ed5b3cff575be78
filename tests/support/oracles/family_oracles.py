"""Ghost and renorm layers in NumPy float64, as the equations of their docstrings stand."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normwise import reference

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """Results of a training step: output, gradients, and the running statistics after it."""

    output: Array
    x: Array
    weight: Array
    bias: Array
    residual: Array
    running_mean: Array | None = None
    running_var: Array | None = None


def parts_of(shape: tuple[int, ...], most: int) -> list[NDArray[np.int_]]:
    """Return the indices of the samples of each virtual batch."""
    samples = shape[0]
    number = math.ceil(samples / most)
    if math.prod(shape[2:]) == 1:
        number = min(number, samples // 2)
    return np.array_split(np.arange(samples), max(number, 1))


def ghost(
    x: Array,
    grad_output: Array,
    most: int,
    weight: Array,
    bias: Array,
    running: tuple[Array, Array],
    momentum: float,
    *,
    activation: str | None = None,
    residual: Array | None = None,
    mask: Any = None,
) -> Step:
    """Normalise each virtual batch by itself; move the running statistics by those of the whole batch."""
    found: dict[str, list[Array]] = {name: [] for name in ("output", "x", "weight", "bias", "residual")}
    for part in parts_of(x.shape, most):
        forward = reference.batch_norm(
            x[part],
            weight=weight,
            bias=bias,
            training=True,
            activation=activation,
            residual=None if residual is None else residual[part],
            # With a mask one value is no error.
            mask=np.ones(np.delete(x[part].shape, 1), bool) if mask is None else mask[part],
        )
        backward = reference.batch_norm_backward(forward, grad_output[part])
        found["output"].append(forward.output)
        for name in ("x", "weight", "bias", "residual"):
            found[name].append(getattr(backward, name))
    whole = reference.batch_norm(x, *running, training=True, momentum=momentum, mask=mask)
    return Step(
        **{name: np.concatenate(found[name]) for name in ("output", "x", "residual")},
        **{name: np.sum(found[name], 0) for name in ("weight", "bias")},
        running_mean=whole.running_mean,
        running_var=whole.running_var,
    )


def renorm_correction(
    x: Array, running: tuple[Array, Array], r_max: float, d_max: float, eps: float, mask: Any = None
) -> tuple[Array, Array]:
    """Return r and d of a batch, ``(C,)``."""
    mean, var, count = reference.batch_statistics(x, mask)
    if count < 2:
        return np.ones_like(mean), np.zeros_like(mean)
    sigma = np.sqrt(running[1] + eps)
    r = np.clip(np.sqrt(var + eps) / sigma, 1 / r_max, r_max)
    return r, np.clip((mean - running[0]) / sigma, -d_max, d_max)


def renorm(
    x: Array,
    grad_output: Array,
    limits: tuple[float, float],
    weight: Array,
    bias: Array,
    running: tuple[Array, Array],
    momentum: float,
    *,
    eps: float = 1e-5,
    activation: str | None = None,
    residual: Array | None = None,
    mask: Any = None,
) -> Step:
    """Normalise by the batch, then correct by r and d, which are constants to the gradient."""
    column = (1, -1, *([1] * (x.ndim - 2)))
    axes = (0, *range(2, x.ndim))
    r, d = (each.reshape(column) for each in renorm_correction(x, running, *limits, eps, mask))
    gamma, beta = weight.reshape(column), bias.reshape(column)
    mean, var, count = reference.batch_statistics(x, mask)
    real = np.ones_like(x, bool) if mask is None else np.broadcast_to(mask[:, None], x.shape)
    inverse = 1 / np.sqrt(var.reshape(column) + eps)
    x_hat = np.where(real, x - mean.reshape(column), 0) * inverse
    corrected = x_hat * r + d
    z = gamma * corrected + beta + (0 if residual is None else np.where(real, residual, 0))
    function, slope = (lambda v: v, np.ones_like) if activation is None else reference.ACTIVATIONS[activation]
    g = np.where(real, grad_output * slope(z), 0)
    m = max(count, 1)
    centred = g - g.sum(axes, keepdims=True) / m - x_hat * (g * x_hat).sum(axes, keepdims=True) / m
    moved = reference.batch_norm(x, *running, training=True, momentum=momentum, mask=mask)
    return Step(
        np.where(real, function(z), 0),
        np.where(real, gamma * r * inverse * centred, 0),
        (g * corrected).sum(axes),
        g.sum(axes),
        g,
        moved.running_mean,
        moved.running_var,
    )
