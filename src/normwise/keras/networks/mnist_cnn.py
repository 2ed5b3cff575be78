"""The small convolutional network of the MNIST tutorials."""

import keras

from normwise.keras.networks.parts.checks import ImageShape, require_size
from normwise.keras.networks.parts.classifier import classifier
from normwise.keras.networks.parts.norm import NormChoice, Placement
from normwise.keras.networks.parts.norm_block import norm_block


def mnist_cnn(
    shape: ImageShape,
    classes: int,
    *,
    norm: NormChoice = "batch",
    placement: Placement = "after",
    logits: bool = False,
) -> keras.Model:
    """Return convolution 32 of 3×3, ReLU, norm, 2×2 max-pool, dense 128 ReLU, dense classes.

    Args:
        shape: Height, width and channels of an image, at least 4×4.
        classes: Number of classes.
        norm: Name or factory of the norm, see ``normwise.keras.networks.parts.norm``.
        placement: Whether to normalise before or after the ReLU.
        logits: Whether the output is before the softmax.
    """
    require_size("mnist_cnn", shape, 4)
    inputs = keras.Input(shape, name="images")
    x = norm_block(inputs, "features", keras.layers.Conv2D(32, 3, name="features"), norm, placement)
    x = keras.layers.MaxPooling2D(2, name="pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(128, activation="relu", name="hidden")(x)
    return classifier("mnist_cnn", inputs, x, classes, logits=logits)
