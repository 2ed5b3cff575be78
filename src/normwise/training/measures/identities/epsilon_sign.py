"""BN's formula with an ε above and below 0."""

import torch
from torch import Tensor, nn

from normwise.data import LabelledData
from normwise.training.measures.activations.norm_passes import middle, norm_passes

_EPSILON, _COPIES = 1e-5, 8


@torch.no_grad()
def epsilon_sign(model: nn.Module, data: LabelledData) -> dict[str, float]:
    """Return the fraction of BN's outputs that are finite when a batch has no variance, by the sign of ε.

    The batch is one test image, several times; BN's formula is computed with ε = 1e-5 and ε = -1e-5.
    """
    index = torch.zeros(_COPIES, dtype=torch.int64)
    given = [seen.given for seen in norm_passes(model, data.test, index)]
    return {
        "positive": _finite([_normalised(values, _EPSILON) for values in given]),
        "negative": _finite([_normalised(values, -_EPSILON) for values in given]),
    }


def _normalised(values: Tensor, epsilon: float) -> Tensor:
    """Return the batch minus its mean, divided by the square root of its variance plus ε."""
    centred = middle(values) - middle(values).mean(0)
    return centred / (centred.square().mean(0) + epsilon).sqrt()


def _finite(outputs: list[Tensor]) -> float:
    return torch.cat([one.flatten() for one in outputs]).isfinite().double().mean().item()
