"""Choice of the layers to calibrate."""

import torch
from torch import nn

from normwise.errors import ArgumentError, ModelError
from normwise.layers import find, kind_of_norm
from normwise.layers.kind import STATISTICS
from normwise.layers.reasons import NO_STATISTICS, UNINITIALISED


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    """Return all BN layers by path.

    Raises:
        ModelError: there is none.
    """
    found = find(model)
    layers = {each.path: each.layer for each in found if each.layer is not None}
    if layers:
        return layers
    advice = "pass the model that has the layers"
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        advice = "layers of TorchScript can't be seen: calibrate the model before torch.jit.script or trace"
    elif found:
        advice = "its graph calls batch_norm as a function: calibrate the model that the graph was made of"
    raise ModelError(
        f"{type(model).__name__} has no BN layer, so there is nothing to calibrate. Looked for layers of torch.nn and "
        f"normwise.nn, subclasses of theirs, and modules called ...BatchNorm... with running statistics; {advice}"
    )


def reason_to_leave(path: str, layer: nn.Module, include_frozen: bool) -> str:
    """Return why a layer is not to be calibrated; empty for one that is.

    Raises:
        ArgumentError: it has not been initialised.
    """
    kind = kind_of_norm(layer)
    if not kind.initialised:
        raise ArgumentError(f"{type(layer).__name__} {path!r} {UNINITIALISED}")
    if not kind.has_statistics:
        return f"it {NO_STATISTICS}"
    if set(STATISTICS) & set(kind.computed):
        return "its running statistics are parametrized"
    if not include_frozen and kind.frozen:
        return "it is frozen (include_frozen=True calibrates it, too)"
    return ""
