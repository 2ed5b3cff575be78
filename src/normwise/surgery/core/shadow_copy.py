"""Shadow copies: a second tree of modules with the same parameters and buffers."""

import copy

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from normwise.surgery.core.rebinding import Rebinding
from normwise.surgery.core.references import check_separate

#: Dict attributes of every module; a shadow copy needs its own dicts with the same entries.
_DICTS = tuple(name for name, value in vars(nn.Module()).items() if isinstance(value, dict))


def shadow_copy(model: nn.Module) -> nn.Module:
    """Return a model of new modules that share the old ones' parameters, buffers and hooks.

    A change of the copy's modules does not affect the model; training changes the parameters and buffers of both. A
    module with several paths has one copy for all of them. Methods, functions, lists and dicts that refer to
    modules of the model refer to the copies; lists and dicts are copied.

    Raises:
        ModelError: a function that was set on an instance would call the model's modules also in the copy.
    """
    copies: dict[nn.Module, nn.Module] = {}

    def of(module: nn.Module) -> nn.Module:
        if module not in copies:
            copies[module] = other = _copy(module)
            for name in _DICTS:
                other.__dict__[name] = copy.copy(module.__dict__[name])
            for name, child in module._modules.items():
                other._modules[name] = None if child is None else of(child)
        return copies[module]

    new = of(model)
    rebinding = Rebinding(copies, fresh=True)
    for other in copies.values():
        attributes = vars(other)
        for name, value in attributes.items():
            if name not in ("_modules", "_parameters", "_buffers"):
                attributes[name] = rebinding.of(value)
    check_separate(
        model, new, "pass the model from before that: del module.forward brings back its class's forward"
    )
    return new


def _copy(module: nn.Module) -> nn.Module:
    if not is_parametrized(module):
        return copy.copy(module)
    # torch refuses to copy it this way, since the same method serves pickling.
    other = object.__new__(type(module))
    vars(other).update(vars(module))
    vars(other).pop("_compiled_call_impl", None)
    return other
