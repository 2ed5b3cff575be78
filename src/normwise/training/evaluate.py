"""Loss and accuracy of a classifier on a test set."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normwise.data import InOrder, Samples, epoch_order
from normwise.layers import layers_with_statistics
from normwise.records import Evaluation
from normwise.statistics import evaluating, using_batch_statistics

#: Samples per batch where the batches don't matter: few enough that a convolution's output stays in the
#: cache, which is more than twice as fast on MNIST as 1,000 samples.
CHUNK = 100


@torch.no_grad()
def logits(model: nn.Module, samples: Samples) -> Tensor:
    """Return the outputs ``(N, classes)`` in evaluation mode; the modes of the model are restored.

    A network of two classes may have one output, the logit of the second class: ``(N, 1)``.
    """
    with evaluating(model):
        return torch.cat([model(**batch) for batch in InOrder(samples, CHUNK)])


def loss_of(outputs: Tensor, labels: Tensor, *, total: bool = False) -> Tensor:
    """Return the mean (or sum) of the cross-entropy in nats; for a single output the binary one, with the sigmoid."""
    reduction = "sum" if total else "mean"
    if outputs.shape[1] == 1:
        wanted = labels.to(outputs.dtype)
        return F.binary_cross_entropy_with_logits(outputs[:, 0], wanted, reduction=reduction)
    return F.cross_entropy(outputs, labels, reduction=reduction)


def predicted(outputs: Tensor) -> Tensor:
    """Return the class of each sample, int64 (N,)."""
    return (outputs[:, 0] > 0).long() if outputs.shape[1] == 1 else outputs.argmax(1)


def loss_and_accuracy(outputs: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the mean cross-entropy in nats, and the accuracy; an output that is not finite counts as wrong."""
    right = (predicted(outputs) == labels) & outputs.isfinite().all(1)
    return loss_of(outputs, labels).item(), right.double().mean().item()


def batch_statistics_accuracy(model: nn.Module, samples: Samples, batch_size: int) -> float | None:
    """Accuracy where each test batch is normalised by its own statistics, as :func:`with_batch_statistics` has it."""
    found = with_batch_statistics(model, samples, batch_size)
    return None if found is None else found[1]


@torch.no_grad()
def with_batch_statistics(model: nn.Module, samples: Samples, batch_size: int) -> tuple[float, float] | None:
    """Loss and accuracy where each test batch is normalised by its own statistics.

    The test set is shuffled (batches ordered by class would have other statistics) and cut into batches of
    ``batch_size`` or a little more, so that no small batch is left. None if the model has no BN, or if a batch is
    one sample, which has no statistics.
    """
    order = epoch_order(len(samples), seed=0, epoch=0)
    pieces = order.tensor_split(max(1, len(order) // batch_size))
    if not layers_with_statistics(model) or min(len(piece) for piece in pieces) < 2:
        return None
    with using_batch_statistics(model):
        outputs = torch.cat([model(**samples.inputs(piece)) for piece in pieces])
    return loss_and_accuracy(outputs, samples.labels[order])


def evaluation_of(model: nn.Module, samples: Samples, batch_size: int) -> Evaluation:
    """Evaluate with running and with batch statistics, as a training run does at its end."""
    loss, accuracy = loss_and_accuracy(logits(model, samples), samples.labels)
    by_batch = with_batch_statistics(model, samples, batch_size)
    if by_batch is None:
        return Evaluation(len(samples), loss, accuracy)
    return Evaluation(len(samples), loss, accuracy, min(batch_size, len(samples)), *by_batch)
