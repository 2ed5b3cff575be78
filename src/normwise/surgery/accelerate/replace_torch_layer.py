"""One of torch's BN layers as one of ours."""

from normwise.layers import LayerKind, kind_of_norm
from normwise.layers.known_classes import conversion_families
from normwise.nn.mixins.change_class import change_class


def become_ours(kind: LayerKind) -> LayerKind:
    """Turn a layer that is exactly torch's into ours, in place: all that it has stays, hooks and mode too.

    Returns what the layer is now; any other layer, a subclass too, is left as it is.
    """
    if not kind.exact or kind.traits.conversion != "torch":
        return kind
    ours = conversion_families()["batch"].items()
    change_class(kind.layer, next(own for own, dimensions in ours if dimensions == kind.traits.dimensions))
    return kind_of_norm(kind.layer)
