"""The activations that a layer can fuse, by name, as torch has them."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

#: ``leaky_relu`` has torch's default slope of 0.01, ``gelu`` is the exact one, ``elu`` has alpha 1.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "hardswish": F.hardswish,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}
