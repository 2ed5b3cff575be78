"""A second tree of modules over the same parameters and buffers."""

import copy

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

#: What a module keeps in dicts of its own; a twin needs its own dicts, with the same things in them.
_DICTS = tuple(name for name, value in vars(nn.Module()).items() if isinstance(value, dict))


def twin(model: nn.Module) -> nn.Module:
    """A model of new modules that share the old ones' parameters, buffers and hooks.

    What is done to the twin's modules does not show in the model; what training does to parameters and
    buffers shows in both. A module that stands in several places has one twin in all of them.
    """
    twins: dict[nn.Module, nn.Module] = {}

    def of(module: nn.Module) -> nn.Module:
        if module not in twins:
            twins[module] = other = _copy(module)
            for name in _DICTS:
                other.__dict__[name] = copy.copy(module.__dict__[name])
            for name, child in module._modules.items():
                other._modules[name] = None if child is None else of(child)
        return twins[module]

    return of(model)


def _copy(module: nn.Module) -> nn.Module:
    if not is_parametrized(module):
        return copy.copy(module)
    # torch refuses to copy one that way, for fear that it is to be pickled.
    other = object.__new__(type(module))
    vars(other).update(vars(module))
    return other
