"""Trained weights moved between torch and Keras, and the move proven."""

from normwise.porting.port import port

__all__ = ["port"]
