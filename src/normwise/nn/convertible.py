"""What a BN layer of this package offers, so that :func:`normwise.convert` can make one of any other norm."""

import inspect
from typing import Any, ClassVar, Protocol, TypeVar

from torch import nn

BatchNorm = nn.modules.batchnorm._BatchNorm
_Kind = TypeVar("_Kind", bound=BatchNorm)

PARAMETERS = ("weight", "bias")
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


class Convertible(Protocol):
    """The class of a BN layer that others can be converted to and from, once ``normwise.nn`` has it by a public name.

    Keyword-only arguments of the constructor, but for ``bias``, are settings of that kind of layer. Each has a default,
    and is an attribute of the same name.

    Attributes:
        conversion: What the family is called in ``normwise.convert(model, to=...)``.
        dimensions: Axes of an input besides those of batch and channels: (1,) for 1-d, where there may be none, too.
    """

    conversion: ClassVar[str]
    dimensions: ClassVar[tuple[int, ...]]

    @classmethod
    def from_batch_norm(cls, layer: BatchNorm, **settings: Any) -> nn.Module:
        """A layer of this class with the arguments of another, over the same parameters and statistics."""
        ...


def from_batch_norm(kind: type[_Kind], layer: BatchNorm, **settings: Any) -> _Kind:
    """A layer of a BN class with the arguments of another one, over the same parameters and statistics."""
    of_layer = layer.running_mean if layer.weight is None else layer.weight
    new = kind(
        layer.num_features,
        layer.eps,
        layer.momentum,
        layer.affine,
        layer.track_running_stats,
        device=None if of_layer is None else of_layer.device,
        dtype=None if of_layer is None else of_layer.dtype,
        **settings,
    )
    new._parameters.update({name: layer._parameters.get(name) for name in PARAMETERS})
    new._buffers.update({name: layer._buffers.get(name) for name in BUFFERS})
    return new


def settings_of(kind: type[Any]) -> dict[str, Any]:
    """What can be set on a class of BN layers beyond torch's arguments, with the defaults."""
    found: dict[str, Any] = {}
    for above in kind.__mro__:
        if "__init__" in vars(above):
            parameters = inspect.signature(above.__init__).parameters.values()
            for parameter in parameters:
                if parameter.kind is parameter.KEYWORD_ONLY and parameter.name != "bias":
                    found.setdefault(parameter.name, parameter.default)
            # What a constructor has no name for it passes on to the one above it.
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
                break
    return found
