"""LSTM layers with a choice of normalization within."""

from typing import Any

import keras

from normwise.keras.networks.parts.layer_norm_lstm_cell import LayerNormLSTMCell
from normwise.keras.networks.parts.norm import WITHIN, NormChoice


def lstm(
    x: Any, name: str, norm: NormChoice, units: int, *, sequences: bool = False, bidirectional: bool = False
) -> Any:
    """Return an LSTM layer's outputs of ``(N, L, F)``: all of them with ``sequences``, else the last of each sequence.

    The layer leaves out what the mask of its input says is padding. "recurrent_layer" is layer normalization within.
    """
    inner = f"{name}_lstm" if bidirectional else name
    if norm == WITHIN:
        cell = LayerNormLSTMCell(units, name="cell")
        layer: Any = keras.layers.RNN(cell, return_sequences=sequences, name=inner)
    else:
        layer = keras.layers.LSTM(units, return_sequences=sequences, name=inner)
    return (keras.layers.Bidirectional(layer, name=name) if bidirectional else layer)(x)
