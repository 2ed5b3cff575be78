"""Judgements common to the doctors for torch and for Keras, independent of both frameworks."""
