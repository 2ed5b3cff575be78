"""Runs in Keras: the same loop, folder and records as in torch, on the backend that KERAS_BACKEND names.

No module here imports Keras at the top: if it is missing, :func:`normwise.import_keras.import_keras` says what to
install.
"""

from normwise.training.keras.train_in_keras import train_in_keras
from normwise.training.keras.trained_keras_network import evaluate_run, trained_outputs

__all__ = ["evaluate_run", "train_in_keras", "trained_outputs"]
