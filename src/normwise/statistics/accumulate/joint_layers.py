"""BN layers that compute all micro-batches in one call, as one batch."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from normwise.errors import ModelError, ShapeError
from normwise.layers import input_of_call
from normwise.statistics.accumulate.lock_step import LockStep
from normwise.statistics.accumulate.recomputed_calls import RecomputedCalls

_Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@contextmanager
def layers_joined(layers: Mapping[str, nn.Module], lock_step: LockStep) -> Iterator[None]:
    """Make BN layers that normalise by the batch wait for all micro-batches, and compute their union in one call."""
    with ExitStack() as stack:
        for path, layer in layers.items():
            own = vars(layer).get("forward")
            stack.callback(_put_back, layer, own)
            vars(layer)["forward"] = _JointForward(path, layer, lock_step)
        yield


def _put_back(layer: nn.Module, own: Any) -> None:
    if own is None:
        vars(layer).pop("forward", None)
    else:
        vars(layer)["forward"] = own


class _JointForward:
    """Replacement of a layer's forward within :func:`joined`."""

    def __init__(self, path: str, layer: nn.Module, lock_step: LockStep) -> None:
        self._layer, self._forward, self._lock_step = layer, layer.forward, lock_step
        self._name = f"{type(layer).__name__} {path!r}"
        self._recomputed = RecomputedCalls(self._name, layer)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        layer: Any = self._layer
        if not (layer.training or getattr(layer, "running_mean", None) is None):
            return self._forward(*args, **kwargs)
        if torch._C._current_graph_task_id() != -1:
            return self._recomputed.repeated(self._lock_step, args, kwargs)
        if self._lock_step.saves_otherwise() and self._recomputed.repeatable:
            return self._recomputed.output(self._lock_step, args, kwargs)
        return self._lock_step.meet(self._name, (args, kwargs), self._compute)

    def _compute(self, calls: list[_Arguments]) -> Sequence[Any]:
        inputs = [input_of_call(*call) for call in calls]
        sizes = [len(x) for x in inputs if x is not None and x.dim()]
        if len(sizes) < len(calls):
            shapes = ", ".join(map(_shape, inputs))
            raise ShapeError(f"{self._name}: expected inputs of shape (N, C, *), got {shapes}")
        args = [self._joined([call[0][at] for call in calls]) for at in range(len(calls[0][0]))]
        kwargs = {key: self._joined([call[1][key] for call in calls]) for key in calls[0][1]}
        # The node of the graph saves tensors of all micro-batches, so a checkpoint of one can't repeat it.
        with self._lock_step.saving_as_caller():
            output = self._forward(*args, **kwargs)
        if not isinstance(output, Tensor) or len(output) != sum(sizes):
            raise ModelError(
                f"{self._name}: expected an output with a row for each of {sum(sizes)} samples, got {_shape(output)}, "
                "which can't be divided among the micro-batches"
            )
        # Copies: views of one output can't be changed in place, as a following activation may do.
        parts: Any = torch.split_with_sizes_copy(output, sizes)
        return parts

    def _joined(self, values: list[Any]) -> Any:
        first = values[0]
        if not isinstance(first, Tensor) or first.dim() == 0:
            if any(value is not first and value != first for value in values):
                raise ModelError(
                    f"{self._name}: micro-batches call it with other arguments: {values}; expected equal ones"
                )
            return first
        if len({(value.shape[1:], value.dtype) for value in values}) > 1:
            raise ShapeError(
                f"{self._name}: micro-batches call it with tensors of {', '.join(map(_shape, values))}; expected the "
                "same but for the first axis, as in one batch: pad them to one length"
            )
        return torch.cat(values)


def _shape(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def mismatch(places: Sequence[str | None]) -> ModelError:
    """Return the error for micro-batches that call layers in different orders."""
    ends = ["the end" if place is None else place for place in places]
    at = "; ".join(
        f"{place}: micro-batch {', '.join(str(k) for k, other in enumerate(ends) if other == place)}"
        for place in Counter(ends)
    )
    return ModelError(
        f"micro-batches do not call the BN layers of the model in one order, so that they have no union there. They "
        f"are at {at} (counted from 0). Let no branch of the model depend on the batch, and pad sequences to one length"
    )
