"""The networks of the tutorials in Keras, each with a choice of normalization."""

from normwise.keras.networks.build import NETWORKS, TASKS, build
from normwise.keras.networks.cnn_32 import cnn_32
from normwise.keras.networks.cnn_64 import cnn_64
from normwise.keras.networks.conv_pair import conv_pair
from normwise.keras.networks.dense_bn import dense_bn
from normwise.keras.networks.mnist_cnn import mnist_cnn
from normwise.keras.networks.parts.layer_norm_lstm_cell import LayerNormLSTMCell
from normwise.keras.networks.parts.norm import NORMS, SEQUENCE_NORMS, NormChoice, NormFactory
from normwise.keras.networks.row_lstm import row_lstm
from normwise.keras.networks.sentiment_bilstm import sentiment_bilstm
from normwise.keras.networks.speech_lstm import speech_lstm

__all__ = [
    "NETWORKS",
    "NORMS",
    "SEQUENCE_NORMS",
    "TASKS",
    "LayerNormLSTMCell",
    "NormChoice",
    "NormFactory",
    "build",
    "cnn_32",
    "cnn_64",
    "conv_pair",
    "dense_bn",
    "mnist_cnn",
    "row_lstm",
    "sentiment_bilstm",
    "speech_lstm",
]
