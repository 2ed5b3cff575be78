"""Two convolutions with BN, as in the tutorials' second example."""

import keras

from normwise.keras.networks.parts.checks import ImageShape, require_size
from normwise.keras.networks.parts.classifier import classifier
from normwise.keras.networks.parts.norm import NormChoice, Placement
from normwise.keras.networks.parts.norm_block import norm_block


def conv_pair(
    shape: ImageShape,
    classes: int,
    *,
    norm: NormChoice = "batch",
    placement: Placement = "before",
    bias: bool = True,
    logits: bool = False,
) -> keras.Model:
    """Return two convolutions of 64 3×3 with padding, each with norm and ReLU, 2×2 max-pool, dense classes.

    Args:
        shape: Height, width and channels of an image, at least 2×2.
        classes: Number of classes.
        norm: Name or factory of the norm, see ``normwise.keras.networks.parts.norm``.
        placement: Whether to normalise before or after the ReLU.
        bias: Whether the convolutions have a bias (which BN before the activation cancels).
        logits: Whether the output is before the softmax.
    """
    require_size("conv_pair", shape, 2)
    x = inputs = keras.Input(shape, name="images")
    for name in ("first", "second"):
        layer = keras.layers.Conv2D(64, 3, padding="same", use_bias=bias, name=name)
        x = norm_block(x, name, layer, norm, placement)
    x = keras.layers.MaxPooling2D(2, name="pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    return classifier("conv_pair", inputs, x, classes, logits=logits)
