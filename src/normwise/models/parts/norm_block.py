"""A layer with its normalization and activation, in the order asked for."""

from collections import OrderedDict
from typing import Literal

from torch import nn

from normwise.errors import ModelError
from normwise.models.parts.norm import NormChoice, norm_factory

#: Whether the normalization stands before or after the activation.
Placement = Literal["before", "after"]


class NormBlock(nn.Sequential):
    """``layer → norm → activation``, or ``layer → activation → norm`` with ``placement="after"``.

    The parts are called ``layer``, ``norm`` and ``activation``, whatever their order.
    """

    def __init__(
        self, layer: nn.Linear | nn.Conv2d, activation: nn.Module, norm: NormChoice, placement: Placement
    ):
        channels, axes = (layer.out_channels, 2) if isinstance(layer, nn.Conv2d) else (layer.out_features, 0)
        parts = {"layer": layer, "norm": norm_factory(norm)(channels, axes), "activation": activation}
        orders = {
            "before": ("layer", "norm", "activation"),
            "after": ("layer", "activation", "norm"),
        }
        if placement not in orders:
            raise ModelError(
                f"unknown placement {placement!r}; known are 'before' and 'after' the activation"
            )
        super().__init__(OrderedDict((name, parts[name]) for name in orders[placement]))
