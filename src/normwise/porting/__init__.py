"""Porting of trained weights between torch and Keras, proven on an example."""

from normwise.porting.epsilons_of import epsilons_of
from normwise.porting.port import port
from normwise.porting.to_state import port_to_state

__all__ = ["epsilons_of", "port", "port_to_state"]
