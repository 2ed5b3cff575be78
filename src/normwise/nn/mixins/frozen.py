"""BN layers with fixed statistics, and optionally fixed parameters, in every mode of the model."""

from typing import Any, cast

from torch import nn

from normwise.nn.mixins.change_class import change_class
from normwise.nn.mixins.class_mixins import Derived, derived

#: Attributes with a module's mode, and with the mode that a frozen layer will have after thawing.
MODE_ATTRIBUTES = ("training", "_mode_when_thawed")


class Frozen(Derived):
    """Mixin of a frozen layer: it remembers a requested mode and does not follow it.

    The layer keeps its evaluation behaviour, including fused activations and process groups.
    """

    _mode_when_thawed: bool
    _requires_grad: dict[str, bool]

    def __setattr__(self, name: str, value: Any) -> None:
        """Remember an assigned mode (``train()`` sets ``training``); it takes effect on thawing."""
        super().__setattr__("_mode_when_thawed" if name == "training" else name, value)

    def reset_running_stats(self) -> None:
        """Do nothing, since ``torch.optim.swa_utils.update_bn`` calls it and would discard the fixed statistics."""


def is_frozen(layer: nn.Module) -> bool:
    """Return whether :func:`freeze_layer` froze the layer."""
    return isinstance(layer, Frozen)


def freeze_layer(layer: nn.Module, *, parameters: bool = False) -> None:
    """Fix the layer's statistics, in place, and with ``parameters`` also γ and β."""
    if not isinstance(layer, Frozen):
        layer.__dict__.update(_mode_when_thawed=layer.training, _requires_grad={}, training=False)
        change_class(layer, derived(Frozen, type(layer)))
    if parameters:
        before = cast("Frozen", layer)._requires_grad
        for name, parameter in layer.named_parameters(recurse=False):
            before.setdefault(name, parameter.requires_grad)
            parameter.requires_grad_(False)
            # An optimiser skips parameters without a gradient; with a zero or old gradient it would still
            # decay and move them.
            parameter.grad = None


def unfreeze_layer(layer: nn.Module) -> None:
    """Restore a frozen layer, in the mode that was last requested; leave any other layer unchanged."""
    if not isinstance(layer, Frozen):
        return
    for name, wanted in layer._requires_grad.items():
        if (parameter := layer._parameters.get(name)) is not None:
            parameter.requires_grad_(wanted)
    mode = layer._mode_when_thawed
    del layer._mode_when_thawed, layer._requires_grad
    change_class(layer, thawed_class(layer))
    layer.training = mode


def thawed_class(layer: nn.Module) -> type[nn.Module]:
    """Return the class of the layer without freezing; its own class if it is not frozen."""
    return type(layer).__bases__[1] if isinstance(layer, Frozen) else type(layer)
