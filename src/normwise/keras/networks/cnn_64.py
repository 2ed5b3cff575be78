"""The tutorials' network for colour images of 64×64."""

import keras

from normwise.keras.networks.parts.checks import ImageShape, require_size
from normwise.keras.networks.parts.classifier import classifier
from normwise.keras.networks.parts.norm import NormChoice, Placement
from normwise.keras.networks.parts.norm_block import norm_block


def cnn_64(
    shape: ImageShape,
    classes: int,
    *,
    norm: NormChoice = "batch",
    placement: Placement = "after",
    logits: bool = False,
) -> keras.Model:
    """Return convolutions 32 and 64 of 3×3, each ReLU, norm, 2×2 max-pool; dense 128 ReLU, norm; dense classes.

    Args:
        shape: Height, width and channels of an image; meant for 64×64×3, at least 10×10.
        classes: Number of classes.
        norm: Name or factory of the norm, see ``normwise.keras.networks.parts.norm``.
        placement: Whether to normalise before or after the ReLU.
        logits: Whether the output is before the softmax.
    """
    require_size("cnn_64", shape, 10)
    x = inputs = keras.Input(shape, name="images")
    for name, filters in (("first", 32), ("second", 64)):
        x = norm_block(x, name, keras.layers.Conv2D(filters, 3, name=name), norm, placement)
        x = keras.layers.MaxPooling2D(2, name=f"{name}_pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = norm_block(x, "hidden", keras.layers.Dense(128, name="hidden"), norm, placement)
    return classifier("cnn_64", inputs, x, classes, logits=logits)
