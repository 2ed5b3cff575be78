"""Keras models that a command is given."""
