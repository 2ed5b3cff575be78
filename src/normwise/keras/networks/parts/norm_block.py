"""A layer with its normalization and activation, in the order asked for."""

from typing import Any

import keras

from normwise.errors import ModelError
from normwise.keras.networks.parts.norm import NormChoice, Placement, image_norm, norm_factory


def norm_block(x: Any, name: str, layer: keras.layers.Layer, norm: NormChoice, placement: Placement) -> Any:
    """Return ``layer → norm → ReLU`` of a symbolic tensor, or ``layer → ReLU → norm``.

    Norm and activation are named as the block, followed by ``_norm`` and ``_activation``.

    Raises:
        ModelError: an unknown placement or norm.
    """
    if placement not in ("before", "after"):
        raise ModelError(f"unknown placement {placement!r}; known are 'before' and 'after' the activation")
    made = image_norm(norm, f"{name}_norm") if len(x.shape) == 4 else norm_factory(norm)(f"{name}_norm")
    activation = keras.layers.ReLU(name=f"{name}_activation")
    x = layer(x)
    return activation(made(x)) if placement == "before" else made(activation(x))
