"""BN's β in place of a later bias."""

import copy

import torch
from torch import Tensor, nn

from normwise.data import LabelledData
from normwise.models.parts.batch_norm_and_bias import BatchNormAndBias
from normwise.statistics import evaluating, using_batch_statistics

_SAMPLES = 256


@torch.no_grad()
def merged_bias(model: nn.Module, data: LabelledData) -> float:
    """Return how far outputs move when each bias after a BN layer is added to the layer's β and set to 0.

    The value is the largest difference on 256 test samples, in standard deviations of all outputs, with running
    statistics or with batch statistics; 0 to rounding if β replaces the bias completely.
    """
    merged = copy.deepcopy(model)
    for module in merged.modules():
        if isinstance(module, BatchNormAndBias):
            shift, bias = module.norm.get_parameter("bias"), module.bias.get_parameter("value")
            shift.add_(bias)
            bias.zero_()
    inputs = data.test.inputs(torch.arange(min(_SAMPLES, len(data.test))))

    def outputs(network: nn.Module) -> Tensor:
        with evaluating(network):
            running = network(**inputs)
        with using_batch_statistics(network):
            return torch.stack([running, network(**inputs)])

    before, after = outputs(model), outputs(merged)
    return ((after - before).abs().max() / before.std()).item()
