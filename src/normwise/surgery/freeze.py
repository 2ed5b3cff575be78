"""Freezing of BN layers: fixed statistics in every mode of the model."""

from torch import nn

from normwise.errors import ArgumentError
from normwise.layers import LayerKind, kind_of_norm, layers_with_statistics
from normwise.layers.reasons import GIVE_STATISTICS, NO_STATISTICS, UNINITIALISED
from normwise.nn.mixins.frozen import freeze_layer, is_frozen, unfreeze_layer
from normwise.records import Freezing
from normwise.surgery.core.check_model import check_model
from normwise.surgery.core.operation import operation


def freeze(model: nn.Module, *, parameters: bool = False) -> Freezing:
    """Fix the running statistics of all BN layers, in place; with ``parameters`` also γ and β.

    A frozen layer normalises with its running statistics and doesn't update them, also in training:
    ``model.train()``, which undoes ``.eval()``, does not undo this. Copies, pickles and compiled models stay
    frozen. Keys of the ``state_dict`` are the same, so a checkpoint can be loaded before or after. ``update_bn`` of
    ``torch.optim.swa_utils`` skips frozen layers; torch's ``convert_sync_batchnorm``, which makes new layers,
    unfreezes them. Fixed parameters lose their ``.grad``, so that no optimiser moves them, not even by weight decay
    or momentum.

    Args:
        model: Model with torch's layers, ours, or subclasses of them.
        parameters: Whether to fix γ and β as well.

    Returns:
        Report with the paths of the layers that are now frozen.

    Raises:
        ArgumentError: a layer keeps no running statistics, or has none yet; nothing is frozen.

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8))
        >>> print(normwise.freeze(model))
        1 of 1 BN layers frozen; γ and β go on learning: 1
        >>> model.train()[1].training
        False
    """
    with operation(model, None, inplace=True, is_wrapped=True):
        layers = layers_with_statistics(model)
        for path, layer in layers.items():
            _check_statistics(path, kind_of_norm(layer))
        for layer in layers.values():
            freeze_layer(layer, parameters=parameters)
    return Freezing(tuple(layers), parameters, True, len(layers))


def _check_statistics(path: str, kind: LayerKind) -> None:
    where = f"{type(kind.layer).__name__} {path!r} can't be frozen"
    if not kind.initialised:
        raise ArgumentError(f"{where}: it {UNINITIALISED}")
    if not kind.has_statistics:
        raise ArgumentError(f"{where}: it {NO_STATISTICS}; {GIVE_STATISTICS}")


def unfreeze(model: nn.Module) -> Freezing:
    """Undo :func:`freeze`; each layer gets the mode that the model was last put into.

    Returns:
        Report with the paths of the layers that were frozen.
    """
    check_model(model, has_values=False, is_wrapped=True)
    layers = layers_with_statistics(model)
    frozen = {path: layer for path, layer in layers.items() if is_frozen(layer)}
    for layer in frozen.values():
        unfreeze_layer(layer)
    return Freezing(tuple(frozen), False, False, len(layers))
