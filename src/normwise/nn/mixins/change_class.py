"""Change of a module's class in place; the only file that assigns ``__class__``."""

from torch import nn


def change_class(module: nn.Module, kind: type[nn.Module]) -> None:
    """Give a module another class; keep its parameters, buffers, hooks, modes and other attributes."""
    module.__class__ = kind


def become(module: nn.Module, other: nn.Module) -> None:
    """Give a module the class and all attributes of another one, so that all references to it see the other."""
    attributes = dict(vars(other))
    change_class(module, type(other))
    vars(module).clear()
    vars(module).update(attributes)
