"""The activations that a layer can fuse, by name, as functions of torch."""

from collections.abc import Callable
from operator import attrgetter

import torch
from torch import Tensor

from normwise import activations

#: ``leaky_relu`` has torch's default slope of 0.01, ``gelu`` is the exact one, ``elu`` has alpha 1.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    name: attrgetter(row.functions[0])(torch) for name, row in activations.ACTIVATIONS.items()
}
