"""Inputs and outputs of BN layers in a forward pass with batch statistics."""

import copy
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from normwise.data import Samples
from normwise.layers import layers_with_statistics
from normwise.statistics import using_batch_statistics


@dataclass(frozen=True)
class NormPass:
    """Input and output of a BN layer in a forward pass, in float64.

    Attributes:
        layer: Copy of the layer.
        given, made: Input and output of the layer, ``(N, C, *)``.
    """

    layer: Any
    given: Tensor
    made: Tensor


def norm_passes(model: nn.Module, samples: Samples, index: Tensor) -> list[NormPass]:
    """Return the input and output of each BN layer for samples in one batch; the model is unchanged."""
    model = copy.deepcopy(model).double()
    found: list[NormPass] = []

    def keep(layer: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        found.append(NormPass(layer, given[0].detach(), made.detach()))

    for layer in layers_with_statistics(model).values():
        layer.register_forward_hook(keep)
    inputs = {
        name: value.double() if value.is_floating_point() else value
        for name, value in samples.inputs(index).items()
    }
    with using_batch_statistics(model):
        model(**inputs)
    return found


def middle(values: Tensor) -> Tensor:
    """Return ``(N, C)`` from ``(N, C, *)``: for images, the values at the middle."""
    flat = values.flatten(2) if values.dim() > 2 else values[..., None]
    return flat[..., flat.shape[2] // 2]
