"""The two passes of the operator ``normwise::batch_norm`` on torch's operators.

They compute a graph that was traced for a backend that can't be used after all: a program that was exported on another
machine, or kernels that could not be compiled once they were asked for.
"""

import torch
from torch import Tensor

from normwise.activations import ACTIVATIONS as _RULES
from normwise.kernels.backward_call import BackwardCall, Gradients
from normwise.kernels.call import Call
from normwise.kernels.torch_backend.activations import ACTIVATIONS
from normwise.kernels.torch_backend.primitives import moments, normalise


def forward(call: Call) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output, the saved statistics, and the batch's mean and Bessel-corrected variance."""
    count, mean, variance = moments(call.x, call.mask)
    inverse_deviation = torch.rsqrt(variance + call.eps)
    y = normalise(
        call.x,
        mean,
        inverse_deviation,
        call.weight,
        call.bias,
        activation=call.activation,
        residual=call.residual,
        mask=call.mask,
    )
    unbiased = variance * (count / (count - 1).clamp(min=1))
    return y, torch.stack((mean, inverse_deviation)).double(), torch.stack((mean, unbiased)).double()


def backward(call: BackwardCall) -> Gradients:
    """Return the gradients of a training call, whose saved statistics are a tensor."""
    x, mask, column = call.x, call.mask, (1, -1, *([1] * (call.x.dim() - 2)))
    mean, inverse = (row.view(column) for row in call.saved)
    deviations = x.double() - mean
    if mask is not None:
        deviations = torch.where(mask.unsqueeze(1), deviations, 0)
    normal = deviations * inverse
    weight = torch.ones_like(mean) if call.weight is None else call.weight.double().view(column)
    grad = _through_activation(call, normal * weight)
    if mask is not None:
        grad = torch.where(mask.unsqueeze(1), grad, 0)
    axes = (0, *range(2, x.dim()))
    grad_bias, grad_weight = grad.sum(axes), (grad * normal).sum(axes)
    n = x.numel() // x.shape[1] if mask is None else mask.sum().clamp(min=1)
    rest = grad - (grad_bias.view(column) + normal * grad_weight.view(column)) / n
    grad_x = weight * inverse * rest
    if mask is not None:
        grad_x = torch.where(mask.unsqueeze(1), grad_x, 0)
    grad_residual = None if call.slope_source is None else grad.to(x.dtype)
    return grad_x.to(x.dtype), grad_weight.float(), grad_bias.float(), grad_residual


def _through_activation(call: BackwardCall, scaled: Tensor) -> Tensor:
    """Return the gradient of the activation's input, in float64."""
    grad, source, activation = call.grad_y.double(), call.slope_source, call.activation
    if activation is None:
        return grad
    if source is not None and _RULES[activation].slope_from_output:
        return torch.where(source <= 0, 0, grad)
    if call.bias is not None:
        scaled = scaled + call.bias.double().view(1, -1, *([1] * (scaled.dim() - 2)))
    if source is not None:
        scaled = scaled + source.double()
    with torch.enable_grad():
        z = scaled.detach().requires_grad_()
        (found,) = torch.autograd.grad(ACTIVATIONS[activation](z), z, grad)
    return found
