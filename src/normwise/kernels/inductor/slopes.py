"""The activations' gradients, as the operators of torch that Inductor knows."""

from collections.abc import Callable

import torch
from torch import Tensor

from normwise.activations import FIXED_SETTINGS

_aten = torch.ops.aten

#: Of the leaky ReLU.
NEGATIVE_SLOPE = float(FIXED_SETTINGS["negative_slope"])


def _silu(grad: Tensor, z: Tensor, sigmoid: Tensor) -> Tensor:
    return grad * (sigmoid * (1.0 + z * (1.0 - sigmoid)))


#: Gradient of the activation's input, given that of its output and the input.
SLOPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "relu": lambda grad, z: torch.where(z <= 0, 0.0, grad),
    "relu6": lambda grad, z: _aten.hardtanh_backward(grad, z, 0.0, 6.0),
    "leaky_relu": lambda grad, z: _aten.leaky_relu_backward(grad, z, NEGATIVE_SLOPE, False),
    "elu": lambda grad, z: _aten.elu_backward(grad, 1.0, 1.0, 1.0, False, z),
    "gelu": lambda grad, z: _aten.gelu_backward(grad, z),
    # torch 2.8 makes of its own operator steps that overwrite each other.
    "silu": lambda grad, z: _silu(grad, z, torch.sigmoid(z)),
    "hardswish": lambda grad, z: _aten.hardswish_backward(grad, z),
    "sigmoid": lambda grad, z: _aten.sigmoid_backward(grad, torch.sigmoid(z)),
    "tanh": lambda grad, z: _aten.tanh_backward(grad, torch.tanh(z)),
}
