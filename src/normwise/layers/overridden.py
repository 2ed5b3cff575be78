"""Subclasses of torch's layers with their own behaviour."""

from collections.abc import Collection, Iterator
from typing import Any

from torch import nn

#: Special methods by which a class controls calls and attributes.
_DECISIVE = {"__call__", "__getattr__", "__getattribute__", "__setattr__"}
#: Members that do not affect a forward pass.
_BESIDE_FORWARD = {
    "extra_repr",
    "reset_parameters",
    "reset_running_stats",
    "_check_input_dim",
    "_load_from_state_dict",
    "_save_to_state_dict",
    "state_dict",
    "load_state_dict",
    "_version",
}


def overridden(
    kind: type[nn.Module], base: type[nn.Module], harmless: Collection[str] = ("extra_repr",)
) -> Iterator[str]:
    """Yield the members of ``base`` that a subclass overrides, except ``harmless`` ones."""
    for above in kind.__mro__[: kind.__mro__.index(base)]:
        for name in vars(above):
            special = name.startswith("__") and name not in _DECISIVE
            if hasattr(base, name) and not special and name not in harmless:
                yield name


def computes_as(module: nn.Module, base: type[Any]) -> bool:
    """Return whether a module's forward pass is that of ``base``, its class or a base of it.

    A subclass may have its own constructor, and further members outside of the forward pass.
    """
    kind = type(module)
    held = {*vars(module), *module._parameters, *module._buffers}
    own = {name for above in kind.__mro__[: kind.__mro__.index(base)] for name in vars(above)}
    return (
        "forward" not in vars(module)
        and not any(overridden(kind, base, _BESIDE_FORWARD))
        and not any(name in held and isinstance(getattr(kind, name), property) for name in own)
    )


def has_own_attributes(layer: nn.Module) -> bool:
    """Return whether a class other than torch's and ours defines calls or tensors of a norm layer."""
    decisive = {*_DECISIVE, "weight", "bias", "running_mean", "running_var", "eps"}
    return any(
        not decisive.isdisjoint(vars(kind))
        for kind in type(layer).__mro__
        if not kind.__module__.startswith(("torch.nn.", "normwise.nn.", "builtins"))
    )
