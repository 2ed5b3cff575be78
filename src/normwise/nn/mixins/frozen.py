"""BN layers whose statistics, and parameters if asked, stay what they are, whatever mode the model is in."""

from typing import Any, cast

from torch import nn

from normwise.nn.mixins.change_class import change_class
from normwise.nn.mixins.class_mixins import Derived, derived

#: Attributes that hold a module's mode, and that which a frozen layer will have.
MODE_ATTRIBUTES = ("training", "_mode_when_thawed")


class Frozen(Derived):
    """What a frozen layer has before its own class: a mode that is asked for is remembered, and not followed.

    All that the layer does in evaluation, an activation or a synchronised group too, it goes on doing.
    """

    _mode_when_thawed: bool
    _requires_grad: dict[str, bool]

    def __setattr__(self, name: str, value: Any) -> None:
        """Take ``training``, which ``train()`` and whoever restores modes set, as what thawing will give."""
        super().__setattr__("_mode_when_thawed" if name == "training" else name, value)

    def reset_running_stats(self) -> None:
        """Do nothing: ``torch.optim.swa_utils.update_bn`` calls it, and would then collect no others."""


def is_frozen(layer: nn.Module) -> bool:
    """Whether :func:`freeze_layer` froze it."""
    return isinstance(layer, Frozen)


def freeze_layer(layer: nn.Module, *, parameters: bool = False) -> None:
    """Fix the layer's statistics, in place, and with ``parameters`` γ and β as well."""
    if not isinstance(layer, Frozen):
        layer.__dict__.update(_mode_when_thawed=layer.training, _requires_grad={}, training=False)
        change_class(layer, derived(Frozen, type(layer)))
    if parameters:
        before = cast("Frozen", layer)._requires_grad
        for name, parameter in layer.named_parameters(recurse=False):
            before.setdefault(name, parameter.requires_grad)
            parameter.requires_grad_(False)
            # An optimiser passes over what has no gradient; one that is zero, or left, it would still decay and move.
            parameter.grad = None


def unfreeze_layer(layer: nn.Module) -> None:
    """Make a frozen layer what it was, in the mode that it was last asked for; any other is left alone."""
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
    """The class that the layer has when it is not frozen, which is its own where it isn't."""
    return type(layer).__bases__[1] if isinstance(layer, Frozen) else type(layer)
