"""Two bidirectional LSTM layers over the words of a text."""

from typing import Any

import keras

from normwise.keras.networks.parts.checks import check_dropout
from normwise.keras.networks.parts.classifier import classifier
from normwise.keras.networks.parts.norm import NormChoice, check_sequence_norm, norm_between_layers
from normwise.keras.networks.parts.recurrent import lstm


def sentiment_bilstm(
    shape: tuple[int],
    classes: int,
    *,
    norm: NormChoice = "batch",
    width: int = 300,
    dropout: float = 0.5,
    logits: bool = False,
) -> keras.Model:
    """Return word vectors, BiLSTM 128, norm, BiLSTM 64 of which the last outputs are taken, norm, dense 1.

    The inputs are tokens ``(N, L)``. Token 0 is padding: it is masked, so that neither the LSTM layers nor the
    statistics see it. The one output is that of the second of two classes; of more classes there is one each.

    Args:
        shape: Number of entries of the vocabulary.
        classes: Number of classes.
        norm: Name or factory of the norm, see ``normwise.keras.networks.parts.norm``; "recurrent_layer" is layer
            normalization within the LSTM layers.
        width: Width of the word vectors, which are initially uniform on ±0.25, as in Kim 2014
            (https://arxiv.org/abs/1408.5882, section 3.1).
        dropout: Dropout of the word vectors, and of the inputs of the second and of the last layer.
        logits: Whether the output is before the sigmoid or softmax.
    """
    check_sequence_norm("sentiment_bilstm", norm)
    check_dropout("sentiment_bilstm", dropout)
    inputs = keras.Input((None,), dtype="int32", name="tokens")
    vectors: Any = keras.initializers.RandomUniform(-0.25, 0.25)
    x = keras.layers.Embedding(
        *shape, width, embeddings_initializer=vectors, mask_zero=True, name="embedding"
    )(inputs)
    x = keras.layers.Dropout(dropout, name="embedding_dropout")(x)
    x = norm_between_layers(norm, "first_norm")(
        lstm(x, "first", norm, 128, sequences=True, bidirectional=True)
    )
    x = keras.layers.Dropout(dropout, name="first_dropout")(x)
    x = norm_between_layers(norm, "second_norm")(lstm(x, "second", norm, 64, bidirectional=True))
    x = keras.layers.Dropout(dropout, name="second_dropout")(x)
    return classifier("sentiment_bilstm", inputs, x, 1 if classes == 2 else classes, logits=logits)
