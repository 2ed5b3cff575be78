"""A layer with its normalization and activation, in the order asked for."""

from collections import OrderedDict
from typing import Literal

from torch import nn

from normwise.errors import ModelError
from normwise.models.parts.norm import NormChoice, norm_factory

#: Whether the normalization stands before or after the activation, or normalises the layer's input.
Placement = Literal["before", "after", "input"]


class NormBlock(nn.Sequential):
    """``layer → norm → activation``.

    With ``placement="after"`` it is ``layer → activation → norm``, with ``placement="input"`` ``norm → layer →
    activation``.

    The parts are called ``layer``, ``norm`` and ``activation``, whatever their order.
    """

    def __init__(
        self, layer: nn.Linear | nn.Conv2d, activation: nn.Module, norm: NormChoice, placement: Placement
    ):
        convolution = isinstance(layer, nn.Conv2d)
        sizes = (
            (layer.in_channels, layer.out_channels)
            if convolution
            else (layer.in_features, layer.out_features)
        )
        channels, axes = sizes[placement != "input"], 2 if convolution else 0
        parts = {"layer": layer, "norm": norm_factory(norm)(channels, axes), "activation": activation}
        orders = {
            "before": ("layer", "norm", "activation"),
            "after": ("layer", "activation", "norm"),
            "input": ("norm", "layer", "activation"),
        }
        if placement not in orders:
            raise ModelError(
                f"unknown placement {placement!r}; known are 'before' and 'after' the activation, and "
                "'input' for that of the layer"
            )
        super().__init__(OrderedDict((name, parts[name]) for name in orders[placement]))
