"""Norm layers of other libraries: an adapter for each family, none of which imports the library.

An adapter recognises its layers by module, class name and structure, and describes what they compute. Surgery
relies on that only after comparing numbers (``surgery/proof/foreign_layer.py``).
"""

from normwise.layers.foreign.adapter import Adapter
from normwise.layers.foreign.adapters import adapter_of

__all__ = ["Adapter", "adapter_of"]
