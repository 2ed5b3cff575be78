"""Outputs of a Keras model on a batch, their loss and their accuracy."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from normwise.errors import ArgumentError
from normwise.keras.doctor.facts.data.user_batches import UserBatch
from normwise.keras.untyped import ops


@dataclass(frozen=True, eq=False)
class Task:
    """A model with its loss.

    Attributes:
        model: Model of the task.
        loss: Function ``loss(targets, outputs)``, or None.
    """

    model: Any
    loss: Callable[..., Any] | None

    def outputs(self, batch: UserBatch, *, training: bool) -> Any:
        """Run the model."""
        return self.model(batch.inputs, training=training)

    def loss_of(self, batch: UserBatch, outputs: Any) -> float:
        """Return the mean loss; NaN if there is none."""
        if self.loss is None or batch.target is None:
            return math.nan
        losses = np.asarray(ops.convert_to_numpy(self.loss(batch.target, outputs)), np.float64)
        return float(losses.mean())


def loss_named(loss: Any, model: Any) -> Callable[..., Any] | None:
    """Return the given loss, or else the loss of ``compile`` if there is a single one.

    Raises:
        ArgumentError: the argument is not a loss.
    """
    given = loss if loss is not None else getattr(model, "loss", None)
    if given is None or (loss is None and not isinstance(given, str) and not callable(given)):
        return None
    try:
        found: Any = keras.losses.get(given)
        return found
    except ValueError as error:
        raise ArgumentError(
            f"loss={loss!r} is not a loss; expected a name of keras.losses, such as 'categorical_crossentropy', or "
            "loss(targets, outputs)"
        ) from error


def scores_of(outputs: Any) -> NDArray[Any] | None:
    """Return the only floating output of a model, ``(N, ...)`` in float64; None if there are others."""
    found = keras.tree.flatten(outputs)
    if len(found) != 1 or not keras.backend.is_float_dtype(keras.backend.standardize_dtype(found[0].dtype)):
        return None
    values = np.asarray(ops.convert_to_numpy(ops.cast(found[0], "float32")), np.float64)
    return values if values.ndim else None


def right_answers(scores: NDArray[Any] | None, target: Any) -> tuple[int, int] | None:
    """Return the numbers of all and of correctly classified samples; None if targets are not classes."""
    if scores is None or not isinstance(target, np.ndarray) or scores.ndim != 2:
        return None
    classes = scores.shape[1]
    if classes < 2:
        # A threshold of 0.5 is only right for probabilities, and scores may be logits.
        return None
    if target.shape == scores.shape:
        is_one_hot = bool(((target == 0) | (target == 1)).all() and (target.sum(1) == 1).all())
        if not is_one_hot:
            return None
        wanted = target.argmax(1)
    elif target.reshape(-1).shape == (len(scores),) and np.issubdtype(target.dtype, np.integer):
        wanted = target.reshape(-1)
    else:
        return None
    return len(scores), int((scores.argmax(1) == wanted).sum())
