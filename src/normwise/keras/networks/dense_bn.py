"""The smallest network with BN."""

import keras

from normwise.keras.networks.parts.checks import ImageShape
from normwise.keras.networks.parts.classifier import classifier
from normwise.keras.networks.parts.norm import NormChoice, Placement
from normwise.keras.networks.parts.norm_block import norm_block


def dense_bn(
    shape: ImageShape,
    classes: int,
    *,
    norm: NormChoice = "batch",
    placement: Placement = "before",
    bias: bool = True,
    logits: bool = False,
) -> keras.Model:
    """Return dense 128, norm, ReLU, dense classes.

    Args:
        shape: Height, width and channels of an image; any.
        classes: Number of classes.
        norm: Name or factory of the norm, see ``normwise.keras.networks.parts.norm``.
        placement: Whether to normalise before or after the ReLU.
        bias: Whether the hidden layer has a bias (which BN before the activation cancels).
        logits: Whether the output is before the softmax.
    """
    inputs = keras.Input(shape, name="images")
    x = keras.layers.Flatten(name="flatten")(inputs)
    x = norm_block(x, "hidden", keras.layers.Dense(128, use_bias=bias, name="hidden"), norm, placement)
    return classifier("dense_bn", inputs, x, classes, logits=logits)
