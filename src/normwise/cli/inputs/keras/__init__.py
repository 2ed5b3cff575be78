"""Keras models as inputs of commands."""
