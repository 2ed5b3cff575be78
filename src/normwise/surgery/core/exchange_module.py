"""Replacement of a module by another, wherever a model holds it."""

from torch import nn

from normwise.surgery.core.rebinding import Rebinding

_EVERY_MODULE = frozenset(vars(nn.Module()))


def exchange_module(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Replace ``old`` by ``new`` everywhere in the model: under all names, and in lists and dicts of modules."""
    rebinding = Rebinding({old: new}, fresh=False)
    for module in list(model.modules()):
        for name, child in module._modules.items():
            if child is old:
                module._modules[name] = new
        attributes = vars(module)
        for name, value in attributes.items():
            if name not in _EVERY_MODULE:
                attributes[name] = rebinding.of(value)
