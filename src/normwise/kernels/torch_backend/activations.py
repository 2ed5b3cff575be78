"""Activations that a layer can fuse, by name, as functions of torch."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from normwise import activations

#: ``leaky_relu`` has torch's default slope of 0.01, ``gelu`` is the exact one, ``elu`` has alpha 1.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    name: attrgetter(row.functions[0])(torch) for name, row in activations.ACTIVATIONS.items()
}
#: Activation of each function of torch, or method of a tensor, when called with only the input.
FUNCTIONS: dict[Any, str] = {
    attrgetter(path)(torch): name for name, row in activations.ACTIVATIONS.items() for path in row.functions
}
METHODS = {method: name for name, row in activations.ACTIVATIONS.items() for method in row.methods}
