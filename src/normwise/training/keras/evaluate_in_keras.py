"""Outputs of a network in Keras on a test set, with moving statistics and with those of each batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from normwise.data import InOrder, Samples, epoch_order
from normwise.import_keras import import_keras
from normwise.records import Evaluation
from normwise.training.evaluate import CHUNK, loss_and_accuracy
from normwise.training.keras.arrays import array_of


def logits(network: Any, samples: Samples) -> Tensor:
    """Return outputs ``(N, classes)`` with moving statistics; or ``(N, 1)``, the logit of the second of two classes."""
    return torch.cat([outputs_of(network, batch) for batch in InOrder(samples, CHUNK)])


def evaluation_of(network: Any, samples: Samples, batch_size: int) -> Evaluation:
    """Evaluate with moving and with batch statistics, as a run in Keras does at its end."""
    loss, accuracy = loss_and_accuracy(logits(network, samples), samples.labels)
    by_batch = with_batch_statistics(network, samples, batch_size)
    if by_batch is None:
        return Evaluation(len(samples), loss, accuracy)
    return Evaluation(len(samples), loss, accuracy, min(batch_size, len(samples)), *by_batch)


def with_batch_statistics(network: Any, samples: Samples, batch_size: int) -> tuple[float, float] | None:
    """Return loss and accuracy when each test batch is normalised by its own statistics.

    The batches are those of ``normwise.training.evaluate``. None if the network has no BN, or if a batch is one
    sample, which has no statistics.
    """
    order = epoch_order(len(samples), seed=0, epoch=0)
    pieces = order.tensor_split(max(1, len(order) // batch_size))
    normalised = any(_has_statistics(layer) for layer in network.layers)
    if not normalised or min(len(piece) for piece in pieces) < 2:
        return None
    with using_batch_statistics(network) as in_training:
        outputs = torch.cat([outputs_of(in_training, samples.inputs(piece)) for piece in pieces])
    return loss_and_accuracy(outputs, samples.labels[order])


@contextmanager
def using_batch_statistics(network: Any) -> Iterator[Any]:
    """Yield a model of the same layers that normalises by the statistics of each batch, without dropout.

    Weights and statistics are restored afterwards.
    """
    keras = import_keras()

    class InTraining(keras.Model):
        """Model that calls the network in training mode."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def call(self, inputs: Any) -> Any:
            return self.network(inputs, training=True)

    weights = network.get_weights()
    dropouts = [layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
    rates = [layer.rate for layer in dropouts]
    in_training = InTraining()
    in_training.jit_compile = keras.backend.backend() == "jax"
    try:
        for layer in dropouts:
            layer.rate = 0.0
        yield in_training
    finally:
        for layer, rate in zip(dropouts, rates, strict=True):
            layer.rate = rate
        network.set_weights(weights)


def outputs_of(network: Any, batch: dict[str, Tensor]) -> Tensor:
    """Return the outputs of a batch, float32."""
    return torch.from_numpy(network.predict_on_batch(array_of(batch)).copy())


def _has_statistics(layer: Any) -> bool:
    return hasattr(layer, "moving_mean")
