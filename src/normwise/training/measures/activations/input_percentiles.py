"""Inputs of an activation over training."""

import torch
from torch import Tensor, nn

from normwise.data import LabelledData
from normwise.training.evaluate import logits

_PERCENTILES = (0.15, 0.5, 0.85)


def input_percentiles(model: nn.Module, data: LabelledData) -> list[float]:
    """15th, 50th and 85th percentile, over the test set, of what the last activation gets at unit 0.

    The quantity of figure 1b and 1c of Ioffe & Szegedy 2015.
    """
    activation = [module for module in model.modules() if isinstance(module, (nn.Sigmoid, nn.ReLU))][-1]
    seen: list[Tensor] = []
    hook = activation.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, 0].flatten()))
    try:
        logits(model, data.test)
    finally:
        hook.remove()
    values = torch.cat(seen).double()
    return torch.quantile(values, torch.tensor(_PERCENTILES, dtype=values.dtype)).tolist()
