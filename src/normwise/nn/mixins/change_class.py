"""Modules that become something else and stay the same objects: the only place that assigns ``__class__``."""

from torch import nn


def change_class(module: nn.Module, kind: type[nn.Module]) -> None:
    """Give a module another class; its parameters, buffers, hooks, modes and other attributes stay."""
    module.__class__ = kind


def become(module: nn.Module, other: nn.Module) -> None:
    """Give a module the class and all attributes of another one, so that whatever refers to it gets that."""
    attributes = dict(vars(other))
    change_class(module, type(other))
    vars(module).clear()
    vars(module).update(attributes)
