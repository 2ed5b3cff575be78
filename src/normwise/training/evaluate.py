"""Loss and accuracy of a classifier on a test set."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normwise.data import epoch_order
from normwise.find import batch_norm_layers
from normwise.statistics import evaluating, using_batch_statistics

#: Samples at once where their grouping does not matter: few enough that a convolution's output stays in
#: the cache, which is more than twice as fast on MNIST as with 1,000.
_CHUNK = 100


@torch.no_grad()
def logits(model: nn.Module, images: Tensor) -> Tensor:
    """Outputs ``(N, classes)`` with the model in evaluation; its modes come back as they were."""
    with evaluating(model):
        return torch.cat([model(chunk) for chunk in images.split(_CHUNK)])


def loss_and_accuracy(outputs: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy in nats, and the fraction that is right; an output that is not finite is wrong."""
    right = (outputs.argmax(1) == labels) & outputs.isfinite().all(1)
    return F.cross_entropy(outputs, labels).item(), right.double().mean().item()


@torch.no_grad()
def batch_statistics_accuracy(
    model: nn.Module, images: Tensor, labels: Tensor, batch_size: int
) -> float | None:
    """Accuracy where each test batch is normalised by its own statistics.

    The test set is shuffled (class-ordered batches would have statistics of their own) and cut into
    batches of ``batch_size`` or a little more, so that no small one is left over. None without BN in the
    model, and where a batch is one sample, which has no statistics.
    """
    order = epoch_order(len(images), seed=0, epoch=0)
    pieces = order.tensor_split(max(1, len(order) // batch_size))
    if not batch_norm_layers(model) or min(len(piece) for piece in pieces) < 2:
        return None
    with using_batch_statistics(model):
        outputs = torch.cat([model(images[piece]) for piece in pieces])
    return loss_and_accuracy(outputs, labels[order])[1]
