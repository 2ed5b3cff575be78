"""BN layers that share the tensors of other BN layers, and the settings of their classes."""

import inspect
from typing import Any, TypeVar

from torch.nn.modules.batchnorm import _BatchNorm

_Kind = TypeVar("_Kind", bound=_BatchNorm)

PARAMETERS = ("weight", "bias")
#: Arguments that torch's BN layers have.
_USUAL = (
    "self", "num_features", "eps", "momentum", "affine", "track_running_stats", "device", "dtype", "bias",
)  # fmt: skip
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def from_batch_norm(kind: type[_Kind], layer: _BatchNorm, **settings: Any) -> _Kind:
    """Return a layer of a BN class with the arguments of another layer, sharing its parameters and statistics."""
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
    """Return the arguments of a class of BN layers beyond torch's, with their defaults."""
    found: dict[str, Any] = {}
    for above in kind.__mro__:
        if "__init__" in vars(above):
            parameters = inspect.signature(above.__init__).parameters.values()
            for parameter in parameters:
                named = parameter.kind is parameter.KEYWORD_ONLY or (
                    issubclass(kind, _BatchNorm) and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
                )
                if named and parameter.name not in _USUAL:
                    found.setdefault(parameter.name, parameter.default)
            # A constructor passes arguments that it does not name to its base class.
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
                break
    return found
