"""The tutorials' network for colour images of 32×32."""

import keras

from normwise.keras.networks.parts.checks import ImageShape, require_size
from normwise.keras.networks.parts.classifier import classifier
from normwise.keras.networks.parts.norm import NormChoice, Placement
from normwise.keras.networks.parts.norm_block import norm_block


def cnn_32(
    shape: ImageShape,
    classes: int,
    *,
    norm: NormChoice = "batch",
    placement: Placement = "before",
    hidden: int = 0,
    logits: bool = False,
) -> keras.Model:
    """Return convolution 16 of 3×3 with padding, norm, ReLU, 2×2 max-pool, dense classes.

    Args:
        shape: Height, width and channels of an image; meant for 32×32×3, at least 2×2.
        classes: Number of classes.
        norm: Name or factory of the norm, see ``normwise.keras.networks.parts.norm``.
        placement: Whether to normalise before or after the ReLU.
        hidden: Units of a dense layer with norm and ReLU before the output, such as 128; 0 for no such layer.
        logits: Whether the output is before the softmax.
    """
    require_size("cnn_32", shape, 2)
    inputs = keras.Input(shape, name="images")
    convolution = keras.layers.Conv2D(16, 3, padding="same", name="features")
    x = norm_block(inputs, "features", convolution, norm, placement)
    x = keras.layers.MaxPooling2D(2, name="pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    if hidden:
        x = norm_block(x, "hidden", keras.layers.Dense(hidden, name="hidden"), norm, placement)
    return classifier("cnn_32", inputs, x, classes, logits=logits)
