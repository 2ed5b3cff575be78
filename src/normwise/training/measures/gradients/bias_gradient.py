"""Gradient of biases relative to that of weights."""

import torch
from torch import nn

from normwise.data import LabelledData, epoch_order
from normwise.statistics import using_batch_statistics
from normwise.training.evaluate import loss_of


def bias_gradient(model: nn.Module, data: LabelledData) -> float:
    """Return a hidden layer's largest bias gradient divided by its largest weight gradient, on one training batch.

    The ratio is 0 to rounding if a later layer, such as BN, cancels the bias.
    """
    index = epoch_order(len(data.training), seed=0, epoch=0)[:128]
    biased = [
        module
        for path, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None and path != "output"
    ]
    with using_batch_statistics(model):
        loss = loss_of(model(**data.training.inputs(index)), data.training.labels[index])
        parameters = [p for layer in biased for p in (layer.bias, layer.weight) if p is not None]
        gradients = [gradient.abs().max().item() for gradient in torch.autograd.grad(loss, parameters)]
    return max(gradients[::2]) / max(gradients[1::2])
