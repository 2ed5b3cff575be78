"""Loss and accuracy of a classifier on the batches of a user's loader."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.errors import DataError, ModelError
from normwise.layers import layers_with_statistics
from normwise.records import Evaluation
from normwise.statistics import arguments_of, batches_of, evaluating, using_batch_statistics
from normwise.statistics.model_inputs import Data, accepted_arguments
from normwise.training.evaluate import loss_of, predicted

#: Names under which a dict of a batch has the labels.
_LABELS = ("labels", "label", "targets", "target", "y")


def evaluate_batches(model: nn.Module, data: Data) -> Evaluation:
    """Evaluate a classifier on batches of (input, labels), or dicts with labels.

    Args:
        model: Gives scores (N, classes), or (N, 1) of two classes; or an object or dict with ``logits``.
        data: Batches, which are read twice where the model has BN layers.

    Raises:
        DataError: a batch has no labels, or there are no batches.
        ModelError: the outputs are no scores of classes.
    """
    batches = batches_of(data)
    samples, loss, accuracy, largest, least = _pass(model, batches, evaluating(model))
    if not layers_with_statistics(model) or least < 2:
        return Evaluation(samples, loss, accuracy)
    _, batch_loss, batch_accuracy, *_ = _pass(model, batches, using_batch_statistics(model))
    return Evaluation(samples, loss, accuracy, largest, batch_loss, batch_accuracy)


@torch.no_grad()
def _pass(
    model: nn.Module, batches: Iterable[Any], mode: AbstractContextManager[nn.Module]
) -> tuple[int, float, float, int, int]:
    """Return the number of samples, loss, accuracy, and the sizes of the largest and of the smallest batch."""
    sizes: list[int] = []
    total, right = 0.0, 0
    device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), None)
    with mode:
        for number, batch in enumerate(batches):
            here = pytree.tree_map_only(Tensor, lambda tensor: tensor.to(device), batch)
            args, kwargs = arguments_of(here)
            kwargs = accepted_arguments(model, kwargs)[0] if kwargs else kwargs
            labels = _labels(here, number)
            outputs = _scores(model(*args, **kwargs), labels, number)
            total += loss_of(outputs, labels, total=True).item()
            right += int(((predicted(outputs) == labels) & outputs.isfinite().all(1)).sum())
            sizes.append(len(labels))
    if not sum(sizes):
        raise DataError("the data have no batches; expected one at least, of (input, labels)")
    count = sum(sizes)
    return count, total / count, right / count, max(sizes), min(sizes)


def _labels(batch: Any, number: int) -> Tensor:
    found: Any = None
    if isinstance(batch, Mapping):
        found = next((batch[name] for name in _LABELS if batch.get(name) is not None), None)
    elif isinstance(batch, (tuple, list)) and len(batch) > 1:
        found = batch[1]
    labels = None if found is None else torch.as_tensor(found)
    if labels is None or labels.dim() != 1 or labels.is_floating_point():
        got = "none" if labels is None else f"{labels.dtype} of shape {tuple(labels.shape)}"
        raise DataError(
            f"batch {number} (counted from 0) has no labels to compare with: expected (input, labels) with whole "
            f"numbers (N,), or a dict with labels; got {got}"
        )
    return labels.long()


def _scores(output: Any, labels: Tensor, number: int) -> Tensor:
    scores = output
    if not isinstance(output, Tensor):
        scores = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != len(labels):
        got = tuple(scores.shape) if isinstance(scores, Tensor) else type(output).__name__
        raise ModelError(
            f"the network is not a classifier: expected scores of shape ({len(labels)}, classes) for batch {number}, "
            f"got {got}"
        )
    if scores.shape[1] > 1 and not 0 <= int(labels.min()) <= int(labels.max()) < scores.shape[1]:
        raise DataError(
            f"batch {number} has labels from {int(labels.min())} to {int(labels.max())}, and the network has "
            f"{scores.shape[1]} classes, counted from 0"
        )
    return scores
