"""Models changed, and the change proven."""

from normwise.find import find
from normwise.surgery.accelerate import accelerate
from normwise.surgery.freeze import freeze, unfreeze

__all__ = ["accelerate", "find", "freeze", "unfreeze"]
