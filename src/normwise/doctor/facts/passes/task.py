"""The task of a model: its loss, and its accuracy."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.utils import _pytree as pytree

from normwise.doctor.facts.data.user_batches import UserBatch
from normwise.errors import ArgumentError, ModelError
from normwise.statistics.model_inputs import unwrapped

_MODEL_NAMES = ("model", "net", "network", "module")
_OUTPUTS = ("logits", "out", "output", "last_hidden_state", "pooler_output")


class Task:
    """A model with its loss.

    Args:
        model: Model of the task.
        loss: Function ``loss(output, target)``, such as ``torch.nn.CrossEntropyLoss()``, where the target is the
            second item of a batch, or its ``labels``; or ``loss(model, batch)``, recognised by the name of its
            first argument, which calls the model itself any number of times. None for the loss in the model's own
            output, if it has one.
    """

    def __init__(self, model: nn.Module, loss: Callable[..., Any] | None) -> None:
        if loss is not None and not callable(loss):
            raise ArgumentError(
                f"expected a function or a module as loss, got {type(loss).__name__}; pass loss(output, target), or "
                "loss(model, batch)"
            )
        self.model, self.loss = model, loss
        # Wrappers for several devices or processes would synchronise buffers and gradients, but the others
        # may not take part.
        spread = isinstance(model, (DataParallel, DistributedDataParallel))
        #: Model to call: the given model, or the model within a wrapper for several devices.
        self.called = unwrapped(model) if spread else model
        self.calls_model = loss is not None and _first_argument(loss) in _MODEL_NAMES

    def moved(self, value: Any) -> Any:
        """Return copies of all tensors of a value on the device of the model."""
        device = next((t.device for own in (self.model.parameters, self.model.buffers) for t in own()), None)
        return pytree.tree_map_only(Tensor, lambda tensor: tensor.to(device, copy=True), value)

    def run(self, batch: UserBatch) -> tuple[Any, Tensor | None]:
        """Return the output of the model for a batch (None if the loss calls the model), and the loss, if there is one.

        Raises:
            ModelError: the model or the loss fails.
        """
        try:
            if self.calls_model and self.loss is not None:
                return None, _scalar(self.loss(self.called, self.moved(batch.given)))
            args, kwargs = self.moved((batch.args, batch.kwargs))
            output = self.called(*args, **kwargs)
            return output, self.loss_of(output, batch)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"the model or its loss fails: {type(error).__name__}: {error}") from error

    def loss_of(self, output: Any, batch: UserBatch) -> Tensor | None:
        """Return the loss of an output; None if there is none."""
        if self.loss is None:
            own = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
            return own if isinstance(own, Tensor) and own.numel() == 1 else None
        if batch.target is None:
            raise ModelError(
                "loss(output, target) needs batches of (input, target), or dicts with labels; pass such, or "
                "loss(model, batch)"
            )
        return _scalar(self.loss(output_tensor(output, given=True), self.moved(batch.target)))

    def right(self, output: Any, batch: UserBatch) -> tuple[int, int] | None:
        """Return the numbers of correctly classified and of all samples; None if the task is not a classification."""
        scores, target = output_tensor(output), batch.target
        if not isinstance(scores, Tensor) or not isinstance(target, Tensor) or target.is_floating_point():
            return None
        if (
            scores.dim() != 2
            or scores.shape[1] < 2
            or target.shape != scores.shape[:1]
            or target.numel() == 0
        ):
            return None
        target = target.to(scores.device)
        if not scores.is_floating_point() or int(target.max()) >= scores.shape[1] or int(target.min()) < 0:
            return None
        right = (scores.argmax(1) == target) & scores.isfinite().all(1)
        return int(right.sum()), len(target)


def output_tensor(output: Any, *, given: bool = False) -> Any:
    """Return the scores in an output: the tensor itself, ``logits`` of a dict or object, or the first tensor.

    Args:
        output: Output of the model, of any type.
        given: Whether to return the output itself if it is neither a tensor nor has scores by name.
    """
    if isinstance(output, Tensor):
        return output
    for name in _OUTPUTS:
        value = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(value, Tensor):
            return value
    if given:
        return output
    return next((leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)), None)


def _first_argument(loss: Callable[..., Any]) -> str:
    try:
        # A loss that is a module is called with outputs, whatever its forward calls them.
        return "" if isinstance(loss, nn.Module) else next(iter(inspect.signature(loss).parameters), "")
    except (TypeError, ValueError):
        return ""


def _scalar(value: Any) -> Tensor | None:
    if value is None:
        return None
    if isinstance(value, Mapping):
        value = value.get("loss")
    if isinstance(value, (tuple, list)) and value:
        value = value[0]
    if isinstance(value, (int, float)):
        return torch.tensor(float(value))
    if not isinstance(value, Tensor):
        raise ModelError(f"the loss gives {type(value).__name__}; expected a number")
    return value.mean() if value.numel() != 1 else value.reshape(())
