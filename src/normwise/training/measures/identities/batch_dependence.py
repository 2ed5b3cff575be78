"""Dependence of a sample's output on the samples beside it."""

import torch
from torch import Tensor, nn

from normwise.data import LabelledData, epoch_order
from normwise.statistics import evaluating, using_batch_statistics
from normwise.training.evaluate import predicted

#: Samples of a batch, and those that are given alone, too.
_BATCH, _ALONE = 32, 64
#: Of the deviation of all outputs: what float32 may round to.
_ROUNDING = 1e-4


@torch.no_grad()
def batch_dependence(model: nn.Module, data: LabelledData) -> dict[str, dict[str, float]]:
    """Return how far a sample's output moves when only the samples beside it are exchanged.

    The test samples are put into batches of about 32 twice, in two orders; with running statistics the first 64 of them
    into batches of their own, too. ``change`` is the largest difference of an output, in standard deviations of all
    outputs; ``moved`` the fraction of samples of which an output moves by more than 1e-4 of these, and ``flipped``
    that of samples whose predicted class differs.
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
        # Outputs that are no numbers have moved.
        "moved": (~(distance.amax(1) <= _ROUNDING)).double().mean().item(),
        "flipped": (predicted(other) != predicted(base)).double().mean().item(),
    }
