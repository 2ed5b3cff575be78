"""Dependence of a sample's outputs on the other samples of its batch."""

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from normwise.doctor.facts.data.user_batches import UserBatch
from normwise.doctor.facts.passes.task import Task, output_tensor


def dependence_on_batch(task: Task, batch: UserBatch) -> float:
    """Return how far the outputs of the first half of a batch move without the other half.

    The model is called in its current modes; the caller preserves its state. The result is in standard deviations
    of the outputs (rounding in float32 is about 1e-6); NaN if the model can't be called with fewer samples.
    """
    half = batch.size // 2
    if half < 1:
        return float("nan")
    try:
        whole, part = (_scores(task, batch, size) for size in (batch.size, half))
    except Exception:  # the model may need the whole batch
        return float("nan")
    if whole is None or part is None or whole.shape[1:] != part.shape[1:] or len(part) != half:
        return float("nan")
    # Outputs that hardly vary would exaggerate their rounding.
    least = 1e-3 * whole.square().mean().sqrt().clamp_min(1e-27)
    spread = torch.maximum(whole.std(0, correction=0).square().mean().sqrt(), least)
    return ((whole[:half] - part).square().mean().sqrt() / spread).item()


def failure_alone(task: Task, batch: UserBatch) -> str:
    """Return the model's error on only the first sample of a batch; empty if it accepts it.

    The model is called in its current modes; the caller preserves its state.
    """
    if batch.size < 2:
        return ""
    try:
        _scores(task, batch, 1)
    except Exception as error:  # the model may raise anything
        return f"{type(error).__name__}: {(str(error) or 'without a text').splitlines()[0]}"
    return ""


def _scores(task: Task, batch: UserBatch, size: int) -> Tensor | None:
    args, kwargs = task.moved(_first(batch, size))
    scores = output_tensor(task.called(*args, **kwargs))
    is_scores = isinstance(scores, Tensor) and scores.is_floating_point() and scores.dim() > 0
    return scores.detach().double() if is_scores else None


def _first(batch: UserBatch, size: int) -> tuple[Any, Any]:
    def cut(value: Any) -> Any:
        return (
            value[:size] if isinstance(value, Tensor) and value.dim() and len(value) == batch.size else value
        )

    return pytree.tree_map(cut, (batch.args, batch.kwargs))
