"""Distribution of each activation's input, which shows its drift over training."""

import torch
from torch import Tensor, nn

from normwise.data import LabelledData, epoch_order
from normwise.statistics.preserve.preserve_model import unchanged

_SAMPLES, _UNITS = 512, 16
#: Percentiles of figure 1 of Ioffe & Szegedy 2015.
_PERCENTILES = (0.15, 0.5, 0.85)
_ACTIVATIONS = (nn.ReLU, nn.Sigmoid, nn.Tanh)


@torch.no_grad()
def activation_percentiles(model: nn.Module, data: LabelledData) -> list[dict[str, list[float]]]:
    """Return percentiles and standard deviation of the first 16 units of each activation's input, as in training.

    They are over the same 512 training samples at every evaluation, in training mode: BN uses the statistics of
    these samples, and noise is drawn. The 15th, 50th and 85th percentile are not fixed by BN, as the mean is.
    """
    index = epoch_order(len(data.training), seed=0, epoch=0)[:_SAMPLES]
    seen: list[Tensor] = []
    with unchanged(model, parameters=False):
        model.train()
        for module in model.modules():
            if isinstance(module, _ACTIVATIONS):
                module.register_forward_pre_hook(lambda _, inputs: seen.append(_by_unit(inputs[0])))
        model(**data.training.inputs(index))
    places = torch.tensor(_PERCENTILES, dtype=torch.float64)
    return [
        {
            "percentiles": _rounded(torch.quantile(values, places, dim=1).flatten()),
            "deviation": _rounded(values.std(1, correction=0)),
        }
        for values in seen
    ]


def _by_unit(values: Tensor) -> Tensor:
    """Return ``(units, samples)``; for images, the units are channels and the samples include all positions."""
    return values[:, :_UNITS].double().transpose(0, 1).flatten(1)


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]
