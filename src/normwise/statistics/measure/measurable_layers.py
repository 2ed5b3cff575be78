"""Layers of a model that keep running statistics, and reasons why others don't."""

import torch
from torch import nn

from normwise.errors import ArgumentError, ModelError
from normwise.layers import find, kind_of_norm
from normwise.layers.kind import STATISTICS
from normwise.layers.reasons import NO_STATISTICS, UNINITIALISED


def layers_of(model: nn.Module, *, to: str) -> dict[str, nn.Module]:
    """Return all BN layers by path.

    Args:
        model: Model to search.
        to: Verb for the intended operation, used in the error message.

    Raises:
        ModelError: the model has no BN layer.
    """
    found = find(model)
    layers = {each.path: each.layer for each in found if each.layer is not None}
    if layers:
        return layers
    advice = "pass the model that has the layers"
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        advice = f"layers of TorchScript can't be seen: {to} the model before torch.jit.script or trace"
    elif found:
        advice = f"its graph calls batch_norm as a function: {to} the model that the graph was made of"
    raise ModelError(
        f"{type(model).__name__} has no BN layer, so there is nothing to {to}. Looked for layers of torch.nn and "
        f"normwise.nn, subclasses of theirs, and modules called ...BatchNorm... with running statistics; {advice}"
    )


def reason_without_statistics(path: str, layer: nn.Module) -> str:
    """Return why a layer has no running statistics that could be replaced; empty if it has.

    Raises:
        ArgumentError: the layer has not been initialised.
    """
    kind = kind_of_norm(layer)
    if not kind.initialised:
        raise ArgumentError(f"{type(layer).__name__} {path!r} {UNINITIALISED}")
    if not kind.has_statistics:
        return f"it {NO_STATISTICS}"
    if set(STATISTICS) & set(kind.computed):
        return "its running statistics are parametrized"
    return ""
