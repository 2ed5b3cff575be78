"""Rotation of a layer's gradient after the preceding layers moved: covariate shift as the optimiser sees it."""

from statistics import fmean

import torch
from torch import Tensor, nn

from normwise.data import LabelledData, epoch_order
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.training.evaluate import loss_of

_SAMPLES, _MOVE = 512, 0.01


def gradient_turn(model: nn.Module, data: LabelledData) -> float:
    r"""Return the mean cosine between a layer's gradients before and after the preceding layers moved.

    .. math::

        \cos\left(\nabla_{W_i} L(W_1, \dots, W_k), \;
        \nabla_{W_i} L(W_1', \dots, W_{i-1}', W_i, \dots, W_k)\right), \qquad
        W_j' = W_j - 0.01 \, \frac{\lVert W_j \rVert}{\lVert \nabla_{W_j} L \rVert} \nabla_{W_j} L

    The cosine is 1 if they do not rotate the gradient. It is measured on 512 training samples in training mode,
    with the same noise both times. See Santurkar et al. 2018 (https://arxiv.org/abs/1805.11604), definition 2.1;
    each layer moves by 1 % of its weights, the same for all networks, instead of by a step of the learning rate.
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
