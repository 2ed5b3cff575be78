"""Variance of BN's inputs in evaluation relative to its running variance from training."""

from functools import partial

import torch
from torch import Tensor, nn

from normwise.data import LabelledData
from normwise.layers import layers_with_statistics
from normwise.training.evaluate import logits


@torch.no_grad()
def kept_variance(model: nn.Module, data: LabelledData) -> float | None:
    """Return the variance of the last BN layer's inputs over the test set, divided by its running variance.

    The value is the median over channels, 1 if training and evaluation agree; None without BN.
    """
    layers = layers_with_statistics(model)
    if not layers:
        return None
    layer, seen = list(layers.values())[-1], list[Tensor]()
    hook = layer.register_forward_pre_hook(partial(_keep, seen))
    try:
        logits(model, data.test)
    finally:
        hook.remove()
    values = torch.cat(seen).double()
    variance = values.var(dim=[axis for axis in range(values.dim()) if axis != 1])
    return (variance / layer.running_var.double()).median().item()


def _keep(seen: list[Tensor], _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    seen.append(inputs[0])
