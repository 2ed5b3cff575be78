"""Norm layers of other libraries: an adapter for each family, none of which imports the library.

An adapter knows its layers by module, class name and structure, and says what they compute. Surgery believes that once
it has compared numbers (``surgery/proof/foreign_layer.py``).
"""

from normwise.layers.foreign.adapter import Adapter
from normwise.layers.foreign.adapters import adapter_of

__all__ = ["Adapter", "adapter_of"]
