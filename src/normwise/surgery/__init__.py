"""Models changed, and the change proven."""

from normwise.surgery.accelerate import accelerate

__all__ = ["accelerate"]
