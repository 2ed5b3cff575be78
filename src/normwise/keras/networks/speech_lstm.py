"""Two LSTM layers over the frames of a recording."""

import keras

from normwise.keras.networks.parts.checks import check_dropout
from normwise.keras.networks.parts.classifier import classifier
from normwise.keras.networks.parts.norm import NormChoice, check_sequence_norm, norm_between_layers
from normwise.keras.networks.parts.recurrent import lstm


def speech_lstm(
    shape: tuple[int],
    classes: int,
    *,
    norm: NormChoice = "batch",
    dropout: float = 0.0,
    logits: bool = False,
) -> keras.Model:
    """Return LSTM 128, norm, LSTM 64 of which the last output is taken, norm, dense classes.

    The inputs are frames ``(N, L, F)``. Frames of zeros are padding: they are masked, so that neither the LSTM layers
    nor the statistics see them.

    Args:
        shape: Number of features of a frame.
        classes: Number of classes.
        norm: Name or factory of the norm, see ``normwise.keras.networks.parts.norm``; "recurrent_layer" is layer
            normalization within the LSTM layers.
        dropout: Dropout of the inputs of the second and of the last layer.
        logits: Whether the output is before the softmax.
    """
    check_sequence_norm("speech_lstm", norm)
    check_dropout("speech_lstm", dropout)
    inputs = keras.Input((None, *shape), name="frames")
    x = keras.layers.Masking(name="masking")(inputs)
    x = norm_between_layers(norm, "first_norm")(lstm(x, "first", norm, 128, sequences=True))
    x = keras.layers.Dropout(dropout, name="first_dropout")(x)
    x = norm_between_layers(norm, "second_norm")(lstm(x, "second", norm, 64))
    x = keras.layers.Dropout(dropout, name="second_dropout")(x)
    return classifier("speech_lstm", inputs, x, classes, logits=logits)
