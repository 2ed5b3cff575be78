"""Trained weights moved between torch and Keras, and the move proven."""

from normwise.porting.port import port
from normwise.porting.to_state import port_to_state

__all__ = ["port", "port_to_state"]
