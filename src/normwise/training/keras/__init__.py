"""Runs in Keras: the same loop, folder and records as in torch, on the backend that KERAS_BACKEND names.

Nothing here imports Keras before it is called: :func:`normwise.import_keras.import_keras` says what to install where
it is missing.
"""

from normwise.training.keras.train_in_keras import train_in_keras
from normwise.training.keras.trained_outputs import trained_outputs

__all__ = ["train_in_keras", "trained_outputs"]
