"""Update rule of BN's mean and variance in training."""

import copy
import math

import torch
from torch import Tensor, nn

from normwise.data import LabelledData, epoch_order
from normwise.layers import layers_with_statistics
from normwise.training.evaluate import loss_of

_STEPS, _BATCH, _LR = 5, 60, 0.1


def statistics_recurrence(model: nn.Module, data: LabelledData) -> float:
    """Return the distance of BN's stored mean and variance from running averages of the batch statistics.

    A copy in float64 is trained for 5 steps of gradient descent with batches of 60. Independently, the averages are
    computed from the layers' inputs only: each step moves them by ``momentum`` of the way to the batch's mean and
    to its variance (divided by n - 1). The result is the largest distance, relative to the value if that is above
    1. It is infinite if gradient descent can move the stored numbers: they are parameters, or have a gradient.
    """
    model = copy.deepcopy(model).double().train()
    layers = layers_with_statistics(model)
    expected = {
        path: (layer.running_mean.clone(), layer.running_var.clone()) for path, layer in layers.items()
    }
    parameters = [one for one in model.parameters() if one.requires_grad]
    for path, layer in layers.items():
        layer.register_forward_pre_hook(
            lambda layer, inputs, path=path: expected.update(
                {path: _moved(expected[path], inputs[0].detach(), layer.momentum)}
            )
        )
    order = epoch_order(len(data.training), seed=0, epoch=0)
    for index in order[: _STEPS * _BATCH].split(_BATCH):
        inputs = {
            name: value.double() if value.is_floating_point() else value
            for name, value in data.training.inputs(index).items()
        }
        loss = loss_of(model(**inputs), data.training.labels[index])
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.add_(gradient, alpha=-_LR)
    found = {path: (layer.running_mean, layer.running_var) for path, layer in layers.items()}
    if any(isinstance(one, nn.Parameter) or one.requires_grad for both in found.values() for one in both):
        return math.inf
    distances = [
        ((one - other).abs() / other.abs().clamp(min=1)).max().item()
        for path in layers
        for one, other in zip(found[path], expected[path], strict=True)
    ]
    return math.nan if any(map(math.isnan, distances)) else max(distances)


def _moved(running: tuple[Tensor, Tensor], given: Tensor, momentum: float) -> tuple[Tensor, Tensor]:
    """Return mean and variance after an update with a batch ``(N, C, *)``."""
    values = given.transpose(0, 1).flatten(1)
    mean, variance = running
    return (
        (1 - momentum) * mean + momentum * values.mean(1),
        (1 - momentum) * variance + momentum * values.var(1, correction=1),
    )
