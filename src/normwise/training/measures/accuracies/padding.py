"""Accuracy of a network for sequences under more padding than it was trained with."""

import torch
from torch import Tensor, nn

from normwise.data import LabelledData, epoch_order
from normwise.statistics import evaluating, using_batch_statistics
from normwise.training.evaluate import loss_and_accuracy

#: Lengths of the padded test batches, in multiples of the longest sequence.
PADDINGS = (1, 2, 4, 8)
_BATCH = 32


@torch.no_grad()
def padded_accuracy(model: nn.Module, data: LabelledData) -> dict[str, dict[str, float]]:
    """Return the test accuracy when each batch is padded to a multiple of its longest sequence.

    Batches are shuffled and have 32 sequences. ``running`` has the accuracies with running statistics and ``batch``
    those with batch statistics, by factor.
    """
    order = epoch_order(len(data.test), seed=0, epoch=0)
    pieces = order.tensor_split(max(1, len(order) // _BATCH))

    def accuracy(factor: int) -> float:
        outputs = torch.cat([model(**_padded(data.test.inputs(piece), factor)) for piece in pieces])
        return loss_and_accuracy(outputs, data.test.labels[order])[1]

    with evaluating(model):
        running = {str(factor): accuracy(factor) for factor in PADDINGS}
    with using_batch_statistics(model):
        return {"running": running, "batch": {str(factor): accuracy(factor) for factor in PADDINGS}}


def _padded(batch: dict[str, Tensor], factor: int) -> dict[str, Tensor]:
    sequences = batch["sequences"]
    shape = list(sequences.shape)
    shape[1] *= factor - 1
    return batch | {"sequences": torch.cat([sequences, sequences.new_zeros(shape)], dim=1)}
