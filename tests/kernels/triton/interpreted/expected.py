"""The float64 oracle's results of a step, and by how much rounding may change each of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from normwise import reference
from tests.kernels.triton.interpreted.step import COUNTED, Case, Tensors

Array = NDArray[np.float64]
#: Roundings of float32 on the way to a number, at most.
_ROUNDINGS = 8
_UNIT = float(torch.finfo(torch.float32).eps)


@dataclass
class Expected:
    """Values and how far off a result may be, by the names of :class:`Results`; and the saved statistics."""

    values: dict[str, Array]
    bounds: dict[str, Array]
    saved: Array
    saved_bounds: Array


def numpy(tensor: Tensor | None) -> Any:
    """Return the values in float64."""
    return None if tensor is None else tensor.detach().double().numpy()


def expect(case: Case, tensors: Tensors) -> Expected:
    """Return what is expected of a step; the tensors' gradient of the output becomes 0 near kinks.

    An error of each intermediate result is followed to the end, to first order. The interpreter cuts bfloat16 off
    where a GPU rounds: what is written in it may be one unit off, not half a unit.
    """
    momentum = case.momentum
    if momentum is None:
        momentum = 1 / (COUNTED + 1) if case.counter else 0.0
    mask = None if tensors.mask is None else tensors.mask.numpy()
    forward = reference.batch_norm(
        numpy(tensors.x),
        numpy(tensors.mean),
        numpy(tensors.var),
        numpy(tensors.weight),
        numpy(tensors.bias),
        case.training,
        momentum,
        activation=case.activation,
        residual=numpy(tensors.residual),
        mask=mask,
    )
    tensors.grad_y = torch.where(
        tensors.near_kinks(torch.from_numpy(forward.z), case), 0, tensors.grad_y
    ).contiguous(memory_format=case.memory_format)
    grad_y = np.where(forward.real, numpy(tensors.grad_y), 0.0)
    gradients = reference.batch_norm_backward(forward, grad_y)

    axes = (0, *range(2, forward.z.ndim))

    def channels(vector: Array) -> Array:
        return vector.reshape(-1, *[1] * (forward.z.ndim - 2))

    few = _ROUNDINGS * _UNIT
    rounding, rounding_of_parameters = _rounding(case.dtype), _rounding(case.parameters)
    gamma, beta = forward.weight, np.zeros_like(forward.weight)
    if tensors.bias is not None:
        beta = numpy(tensors.bias)
    x_hat, z, g = np.abs(forward.x_hat), np.abs(forward.z), np.abs(gradients.residual)
    scale = channels(np.abs(gamma) * forward.inv_std)
    added = 0.0 if tensors.residual is None else np.abs(numpy(tensors.residual))
    off_z = few * (channels(np.abs(gamma)) * (1 + x_hat) + channels(np.abs(beta)) + added)
    # No activation's slope is steeper than 1.13, and no slope changes faster than by 1.
    off_output = 1.13 * off_z + rounding * np.abs(forward.output)
    # The gradient of the residual is rounded before it is summed up, where one is kept for the backward pass.
    rounded = rounding if case.residual and case.activation is not None else 0.0
    off_g = rounded * g + np.abs(grad_y) * (off_z + few)
    off_x_hat = few * (1 + x_hat)
    if case.inplace:
        off_x_hat = off_x_hat + rounding * z / channels(np.abs(gamma))
    off_bias = off_g.sum(axes) + few * g.sum(axes)
    off_weight = (off_g * x_hat + g * off_x_hat).sum(axes) + few * (g * x_hat).sum(axes)
    off_x = off_g
    if case.training:
        m = forward.count
        of_weight, of_bias = np.abs(gradients.weight), np.abs(gradients.bias)
        off_x = off_x + channels(off_bias / m) + x_hat * channels(off_weight / m)
        off_x = off_x + off_x_hat * channels(of_weight / m)
        off_x = off_x + few * (g + channels(of_bias / m) + x_hat * channels(of_weight / m))
    off_x = scale * off_x + rounding * np.abs(gradients.x)
    # Without an activation the gradient of the residual is that of the output itself.
    off_residual = off_g + rounding * g
    deviation = np.sqrt(forward.var)
    values = {
        "output": forward.output,
        "grad_x": gradients.x,
        "grad_weight": gradients.weight,
        "grad_bias": gradients.bias,
        "grad_residual": gradients.residual,
    }
    bounds = {
        "output": off_output,
        "grad_x": off_x,
        "grad_weight": off_weight + rounding_of_parameters * np.abs(gradients.weight),
        "grad_bias": off_bias + rounding_of_parameters * np.abs(gradients.bias),
        "grad_residual": off_residual,
    }
    if forward.running_mean is not None and forward.running_var is not None:
        values |= {"mean": forward.running_mean, "var": forward.running_var}
        bounds |= {
            "mean": few * deviation + rounding_of_parameters * np.abs(forward.running_mean),
            "var": (few + rounding_of_parameters) * forward.running_var,
        }
    saved = np.stack([forward.mean, forward.inv_std])
    return Expected(values, bounds, saved, few * np.stack([deviation, forward.inv_std]))


def _rounding(dtype: torch.dtype) -> float:
    """Return the relative error of a number that is written in a type."""
    return float(torch.finfo(dtype).eps) / (1 if dtype is torch.bfloat16 else 2)
