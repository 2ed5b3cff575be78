"""Distribution of what each activation gets, from which its drift over training follows."""

import torch
from torch import Tensor, nn

from normwise.data import LabelledData, epoch_order
from normwise.statistics.preserve.preserve_model import unchanged

_SAMPLES, _UNITS = 512, 16
#: Those of figure 1 of Ioffe & Szegedy 2015.
_PERCENTILES = (0.15, 0.5, 0.85)
_ACTIVATIONS = (nn.ReLU, nn.Sigmoid, nn.Tanh)


@torch.no_grad()
def activation_percentiles(model: nn.Module, data: LabelledData) -> list[dict[str, list[float]]]:
    """Percentiles, and the deviation, of the first 16 units that an activation gets, a layer each, as in training.

    Over the same 512 training samples at every evaluation, in training mode: BN normalises them with their own
    statistics, and noise is drawn. The 15th, 50th and 85th percentile, which BN does not fix as it does a mean.
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
    """Return (units, samples), of an image's channels with all its positions."""
    return values[:, :_UNITS].double().transpose(0, 1).flatten(1)


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]
