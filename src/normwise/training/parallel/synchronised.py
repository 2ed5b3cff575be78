"""A network whose BN layers normalise with the statistics of all processes."""

from typing import Any

from torch import nn

from normwise.errors import ArgumentError
from normwise.layers import kind_of_norm, layers_with_statistics
from normwise.surgery import convert
from normwise.training.parallel.processes import STEP

#: Families of norms that would train differently if they were synchronised.
_OTHER_TRAINING = ("ghost", "renorm")


def synchronised(model: nn.Module, group: Any) -> nn.Module:
    """Return a copy of the network with synchronised layers in place of its BN layers.

    Args:
        model: Network to copy.
        group: Process group of the layers; None for all processes.

    Raises:
        ArgumentError: a layer can't be synchronised.
    """
    for path, layer in layers_with_statistics(model).items():
        if kind_of_norm(layer).traits.conversion in _OTHER_TRAINING:
            raise ArgumentError(
                f"{path} ({type(layer).__name__}) does not normalise by the whole batch in training, as synchronised "
                "statistics do; use --statistics local, one process, or another norm"
            )
    copy, _ = convert(model, "sync", process_group=group, timeout=STEP.total_seconds())
    for path, layer in layers_with_statistics(copy).items():
        if not kind_of_norm(layer).traits.synchronised:
            raise ArgumentError(
                f"{path} ({type(layer).__name__}) can't use the statistics of all processes; use --statistics local, "
                "one process, or another norm"
            )
    return copy
