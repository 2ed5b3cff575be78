"""Models changed, and the change proven."""

from normwise.find import find
from normwise.surgery.accelerate import accelerate
from normwise.surgery.convert import convert
from normwise.surgery.fold import fold
from normwise.surgery.freeze import freeze, unfreeze

__all__ = ["accelerate", "convert", "find", "fold", "freeze", "unfreeze"]
