"""Percentiles of an activation's input over training."""

import torch
from torch import Tensor, nn

from normwise.data import LabelledData
from normwise.training.evaluate import logits

_PERCENTILES = (0.15, 0.5, 0.85)


def input_percentiles(model: nn.Module, data: LabelledData) -> list[float]:
    """Return the 15th, 50th and 85th percentile of the last activation's input at unit 0, over the test set.

    This is the quantity of figures 1b and 1c of Ioffe & Szegedy 2015.
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
