"""Dependence of a sample's output on the other samples of its batch."""

import torch
from torch import Tensor, nn

from normwise.data import LabelledData, epoch_order
from normwise.statistics import evaluating, using_batch_statistics
from normwise.training.evaluate import predicted

#: Number of samples of a batch, and of samples that are also given alone.
_BATCH, _ALONE = 32, 64
#: Rounding of float32, as a fraction of the outputs' standard deviation.
_ROUNDING = 1e-4


@torch.no_grad()
def batch_dependence(model: nn.Module, data: LabelledData) -> dict[str, dict[str, float]]:
    """Return how far a sample's output moves when only the other samples of its batch are exchanged.

    The test samples are cut into batches of about 32 twice, in two orders; with running statistics, the first 64
    samples are also run alone. ``change`` is the largest difference of an output, in standard deviations of all
    outputs; ``moved`` is the fraction of samples with an output that moves by more than 1e-4 standard deviations;
    ``flipped`` is the fraction of samples whose predicted class differs.
    """
    samples = len(data.test)
    first, second = (epoch_order(samples, seed=0, epoch=epoch) for epoch in (0, 1))
    alone = torch.arange(min(_ALONE, samples))

    def outputs(order: Tensor, batch: int = _BATCH) -> Tensor:
        pieces = order.tensor_split(max(1, len(order) // batch))
        return torch.cat([model(**data.test.inputs(piece)) for piece in pieces])[order.argsort()]

    with evaluating(model):
        base = outputs(first)
        running = [_compared(base, outputs(second)), _compared(base[alone], outputs(alone, batch=1))]
    with using_batch_statistics(model):
        batch = _compared(outputs(first), outputs(second))
    return {"running": {name: max(one[name] for one in running) for name in batch}, "batch": batch}


def _compared(base: Tensor, other: Tensor) -> dict[str, float]:
    distance = (other - base).abs() / base.std()
    return {
        "change": distance.max().item(),
        # Outputs that are NaN count as moved.
        "moved": (~(distance.amax(1) <= _ROUNDING)).double().mean().item(),
        "flipped": (predicted(other) != predicted(base)).double().mean().item(),
    }
