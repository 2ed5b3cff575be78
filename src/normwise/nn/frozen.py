"""BN layers whose statistics, and parameters if asked, stay what they are, whatever mode the model is in."""

import operator
from functools import cache
from typing import Any, SupportsIndex, cast

from torch import nn


class Frozen(nn.modules.batchnorm._BatchNorm):
    """What a frozen layer has before its own class: ``train()`` is remembered, and not followed.

    Its class is made on demand, a subclass of the layer's own. So all that the layer does in evaluation, an
    activation or a synchronised group too, it goes on doing; the ``state_dict`` stays, and ``isinstance`` holds.
    """

    _mode_when_thawed: bool
    _requires_grad: dict[str, bool]

    def train(self, mode: bool = True) -> "Frozen":
        """Stay in evaluation; what was asked for is what :func:`unfreeze_layer` will give."""
        self._mode_when_thawed = mode
        super().train(False)
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Copied and pickled by the class that it froze, since its own can't be imported."""
        _, _, *state = super().__reduce_ex__(max(2, operator.index(protocol)))
        return _empty, (_thawed_class(type(self)),), *state


@cache
def _frozen_class(kind: type[nn.Module]) -> type[Frozen]:
    return type(
        f"Frozen{kind.__name__}", (Frozen, kind), {"__module__": kind.__module__, "__doc__": kind.__doc__}
    )


def _thawed_class(kind: type[nn.Module]) -> type[nn.Module]:
    return kind.__mro__[kind.__mro__.index(Frozen) + 1]


def _empty(kind: type[nn.Module]) -> nn.Module:
    frozen = _frozen_class(kind)
    return frozen.__new__(frozen)


def is_frozen(layer: nn.Module) -> bool:
    """Whether :func:`freeze_layer` froze it."""
    return isinstance(layer, Frozen)


def freeze_layer(layer: nn.modules.batchnorm._BatchNorm, *, parameters: bool = False) -> None:
    """Fix the layer's statistics, in place, and with ``parameters`` γ and β as well."""
    if not isinstance(layer, Frozen):
        layer.__dict__.update(_mode_when_thawed=layer.training, _requires_grad={})
        layer.__class__ = _frozen_class(type(layer))
        layer.train(layer.training)
    if parameters:
        before = cast("Frozen", layer)._requires_grad
        for name, parameter in layer.named_parameters(recurse=False):
            before.setdefault(name, parameter.requires_grad)
            parameter.requires_grad_(False)


def unfreeze_layer(layer: nn.Module) -> None:
    """Make a frozen layer what it was, in the mode that it was last asked for; any other is left alone."""
    if not isinstance(layer, Frozen):
        return
    for name, wanted in layer._requires_grad.items():
        layer.get_parameter(name).requires_grad_(wanted)
    mode = layer._mode_when_thawed
    del layer._mode_when_thawed, layer._requires_grad
    cast("nn.Module", layer).__class__ = _thawed_class(type(layer))
    layer.train(mode)
