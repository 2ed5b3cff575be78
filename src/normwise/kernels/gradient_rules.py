"""Rules of the backward pass, common to eager mode and compiled graphs."""

import torch
from torch import Tensor

from normwise.activations import ACTIVATIONS

_FLOAT = torch.float32


def slope_source(residual: Tensor | None, activation: str | None, y: Tensor) -> Tensor | None:
    """Return the tensor that determines the activation's slope after a residual was added, for the backward pass.

    Without a residual the input determines it. With one, the output ``y`` of a ReLU does, which is alive anyway;
    for any other activation the slope is computed from its input, which needs the residual.
    """
    if residual is None or activation is None:
        return None
    return y if ACTIVATIONS[activation].slope_from_output else residual


def residual_gradient(grad_y: Tensor, mask: Tensor | None) -> Tensor:
    """Return the gradient of a residual without a following activation."""
    return grad_y if mask is None else torch.where(mask.unsqueeze(1), grad_y, 0)


def parameter_gradient(parameter: Tensor, grad: Tensor) -> Tensor:
    """Return a float32 gradient in the dtype of its parameter."""
    return grad if parameter.dtype is _FLOAT else grad.to(parameter.dtype)
