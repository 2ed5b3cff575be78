"""Turn of a layer's gradient when the layers before it have moved: covariate shift as the optimiser meets it."""

from statistics import fmean

import torch
from torch import Tensor, nn

from normwise.data import LabelledData, epoch_order
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.training.evaluate import loss_of

_SAMPLES, _MOVE = 512, 0.01


def gradient_turn(model: nn.Module, data: LabelledData) -> float:
    r"""Cosine between a layer's gradient before and after the layers before it moved, the mean over layers.

    .. math::

        \cos\left(\nabla_{W_i} L(W_1, \dots, W_k), \;
        \nabla_{W_i} L(W_1', \dots, W_{i-1}', W_i, \dots, W_k)\right), \qquad
        W_j' = W_j - 0.01 \, \frac{\lVert W_j \rVert}{\lVert \nabla_{W_j} L \rVert} \nabla_{W_j} L

    1 where they turn nothing. On 512 training samples in training mode, with the same noise both times. Santurkar et
    al. 2018 (https://arxiv.org/abs/1805.11604), definition 2.1, with a move of 1 % of each layer's weights, which is
    the same for all networks, in place of the step of a learning rate.
    """
    index = epoch_order(len(data.training), seed=0, epoch=0)[:_SAMPLES]
    inputs, labels = data.training.inputs(index), data.training.labels[index]
    weights = [layer.weight for layer in model.modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    with unchanged(model) as begin:
        model.train()

        def gradients(*of: Tensor) -> tuple[Tensor, ...]:
            begin()
            return torch.autograd.grad(loss_of(model(**inputs), labels), of)

        first = gradients(*weights)
        cosines: list[float] = []
        for number, (weight, gradient) in enumerate(zip(weights, first, strict=True)):
            if number > 0:
                (after,) = gradients(weight)
                cosines.append(torch.cosine_similarity(gradient.flatten(), after.flatten(), dim=0).item())
            with torch.no_grad():
                weight.sub_(_MOVE * weight.norm() / gradient.norm().clamp_min(1e-30) * gradient)
    return fmean(cosines)
