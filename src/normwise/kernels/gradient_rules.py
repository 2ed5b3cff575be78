"""Rules of the backward pass that eager mode and compiled graphs share."""

import torch
from torch import Tensor

from normwise.activations import ACTIVATIONS

_FLOAT = torch.float32


def slope_source(residual: Tensor | None, activation: str | None, y: Tensor) -> Tensor | None:
    """Return the tensor that tells the activation's slope once a residual was added, for the backward pass.

    Without a residual the input tells it. With one, the output ``y`` of a ReLU does, and is alive anyway; the slope of
    any other activation is computed from its input, to which the residual is needed.
    """
    if residual is None or activation is None:
        return None
    return y if ACTIVATIONS[activation].slope_from_output else residual


def residual_gradient(grad_y: Tensor, mask: Tensor | None) -> Tensor:
    """Return the gradient of a residual with no activation behind it."""
    return grad_y if mask is None else torch.where(mask.unsqueeze(1), grad_y, 0)


def parameter_gradient(parameter: Tensor, grad: Tensor) -> Tensor:
    """Return a float32 gradient in the type of its parameter."""
    return grad if parameter.dtype is _FLOAT else grad.to(parameter.dtype)
