"""One of torch's BN layers as one of ours."""

from typing import Any

from torch import nn

from normwise.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d
from normwise.nn.mixins.change_class import change_class

_OURS: dict[type, type[BatchNorm1d] | type[BatchNorm2d] | type[BatchNorm3d]] = {
    nn.BatchNorm1d: BatchNorm1d,
    nn.BatchNorm2d: BatchNorm2d,
    nn.BatchNorm3d: BatchNorm3d,
}


def is_ours(module: Any) -> bool:
    """Whether it is exactly one of our layers: a subclass may do anything in its forward pass."""
    return type(module) in _OURS.values()


def become_ours(layer: nn.Module) -> bool:
    """Turn a layer that is exactly torch's into ours, in place: all that it has stays, hooks and mode too.

    Returns whether it is ours now; any other layer, a subclass too, is left as it is.
    """
    if type(layer) in _OURS:
        change_class(layer, _OURS[type(layer)])
    return is_ours(layer)
