"""Norm of the gradient in each hidden layer."""

import torch
from torch import nn

from normwise.data import LabelledData, epoch_order
from normwise.statistics import using_batch_statistics
from normwise.training.evaluate import loss_of


def gradient_by_layer(model: nn.Module, data: LabelledData) -> list[float]:
    """Return the Euclidean norm of the loss's gradient with respect to each hidden layer's weights, in order.

    It is measured on one training batch of 128, with batch statistics.
    """
    index = epoch_order(len(data.training), seed=0, epoch=0)[:128]
    weights = [
        module.weight
        for path, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and path != "output"
    ]
    with using_batch_statistics(model):
        loss = loss_of(model(**data.training.inputs(index)), data.training.labels[index])
        gradients = torch.autograd.grad(loss, weights)
    # In float64: the square of a nearly vanished gradient is 0 in float32.
    return [gradient.double().norm().item() for gradient in gradients]
