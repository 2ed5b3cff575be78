"""Accuracy with the exact statistics of the whole training set."""

from torch import nn

from normwise.data import InOrder, LabelledData
from normwise.layers import layers_with_statistics
from normwise.statistics import calibrate
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.training.evaluate import CHUNK, logits, loss_and_accuracy


def recomputed_accuracy(model: nn.Module, data: LabelledData) -> float | None:
    """Return the test accuracy with the exact statistics of the training set; None without BN.

    The running statistics are restored afterwards.
    """
    if not layers_with_statistics(model):
        return None
    with unchanged(model, parameters=False):
        calibrate(model, InOrder(data.training, CHUNK))
        return loss_and_accuracy(logits(model, data.test), data.test.labels)[1]
