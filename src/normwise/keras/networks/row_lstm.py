"""An LSTM that reads an image row by row."""

import keras

from normwise.keras.networks.parts.checks import ImageShape
from normwise.keras.networks.parts.classifier import classifier
from normwise.keras.networks.parts.norm import WITHIN, NormChoice, check_sequence_norm, norm_between_layers
from normwise.keras.networks.parts.recurrent import lstm


def row_lstm(
    shape: ImageShape, classes: int, *, norm: NormChoice = WITHIN, logits: bool = False
) -> keras.Model:
    """Return an LSTM 100 over the rows of an image, of which the last output is taken, norm, dense classes.

    Args:
        shape: Height, width and channels of an image; any.
        classes: Number of classes.
        norm: Name or factory of the norm, see ``normwise.keras.networks.parts.norm``; "recurrent_layer" is layer
            normalization within the LSTM.
        logits: Whether the output is before the softmax.
    """
    check_sequence_norm("row_lstm", norm)
    height, width, channels = shape
    inputs = keras.Input(shape, name="images")
    x = keras.layers.Reshape((height, width * channels), name="as_rows")(inputs)
    x = norm_between_layers(norm, "norm")(lstm(x, "rows", norm, 100))
    return classifier("row_lstm", inputs, x, classes, logits=logits)
