"""Record of a classifier's evaluation on labelled samples, with running and with batch statistics."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Evaluation:
    """Loss and accuracy of a network on labelled samples.

    Attributes:
        samples: Number of samples.
        loss: Mean cross-entropy in nats, with running statistics.
        accuracy: Fraction that is right, with running statistics; an output that is not finite is wrong.
        batch_size: Samples of a batch whose own statistics are used, of the largest one; None without BN.
        batch_loss, batch_accuracy: Loss and accuracy when each batch is normalised by its own statistics; None
            without BN, and where a batch is a single sample.
    """

    samples: int
    loss: float
    accuracy: float
    batch_size: int | None = None
    batch_loss: float | None = None
    batch_accuracy: float | None = None
