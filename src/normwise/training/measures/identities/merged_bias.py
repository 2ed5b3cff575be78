"""BN's β in place of a bias behind it."""

import copy

import torch
from torch import Tensor, nn

from normwise.data import LabelledData
from normwise.models.parts.batch_norm_and_bias import BatchNormAndBias
from normwise.statistics import evaluating, using_batch_statistics

_SAMPLES = 256


@torch.no_grad()
def merged_bias(model: nn.Module, data: LabelledData) -> float:
    """Return how far outputs move when each bias behind a BN layer is added to its β and set to 0.

    The largest difference on 256 test samples, in standard deviations of all outputs, with running statistics or with
    the batch's own; 0 to rounding where β does all that the bias does.
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
