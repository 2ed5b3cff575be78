"""BN layers that compute one call for all micro-batches, as if these were one batch."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from normwise.errors import ArgumentError, ModelError, ShapeError
from normwise.layers import input_of_call
from normwise.statistics.accumulate.lock_step import LockStep

_Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@contextmanager
def forwards_replaced(
    layers: Mapping[str, nn.Module],
    replacement: Callable[[str, nn.Module, Callable[..., Any]], Callable[..., Any]],
) -> Iterator[None]:
    """Give layers another forward for a while: what ``replacement`` makes of path, layer and own forward."""
    with ExitStack() as stack:
        for path, layer in layers.items():
            own = vars(layer).get("forward")
            stack.callback(_put_back, layer, own)
            vars(layer)["forward"] = replacement(path, layer, layer.forward)
        yield


def _put_back(layer: nn.Module, own: Any) -> None:
    if own is None:
        vars(layer).pop("forward", None)
    else:
        vars(layer)["forward"] = own


def normalises_by_batch(layer: Any) -> bool:
    """Return whether the next call of a BN layer normalises by the batch."""
    return layer.training or getattr(layer, "running_mean", None) is None


def refuse_recomputation(path: str, layer: nn.Module) -> None:
    """Raise an error in a backward pass, which calls a layer for one micro-batch alone."""
    if torch._C._current_graph_task_id() != -1:
        raise ArgumentError(
            f"{type(layer).__name__} {path!r} is called in the backward pass, by activation checkpointing, for one "
            "micro-batch alone, and the statistics of their union can't be computed again there. Leave the BN layers "
            "out of what is checkpointed, or checkpoint one large batch instead of micro-batches"
        )


def joint_forward(
    lock_step: LockStep, path: str, layer: nn.Module, forward: Callable[..., Any]
) -> Callable[..., Any]:
    """Return a forward of the layer that waits for all micro-batches, and computes one call for their union."""

    def call(*args: Any, **kwargs: Any) -> Any:
        refuse_recomputation(path, layer)
        if not normalises_by_batch(layer):
            return forward(*args, **kwargs)
        name = f"{type(layer).__name__} {path!r}"
        return lock_step.meet(name, (args, kwargs), lambda all_args: _computed(name, forward, all_args))

    return call


def _computed(name: str, forward: Callable[..., Any], calls: list[_Arguments]) -> Sequence[Any]:
    inputs = [input_of_call(*call) for call in calls]
    sizes = [len(x) for x in inputs if x is not None and x.dim()]
    if len(sizes) < len(calls):
        raise ShapeError(f"{name}: expected inputs of shape (N, C, *), got {[_shape(x) for x in inputs]}")
    numbers = range(len(calls[0][0]))
    args = [_joined(name, [call[0][at] for call in calls]) for at in numbers]
    kwargs = {key: _joined(name, [call[1][key] for call in calls]) for key in calls[0][1]}
    output = forward(*args, **kwargs)
    if not isinstance(output, Tensor) or len(output) != sum(sizes):
        raise ModelError(
            f"{name}: expected an output with a row for each of {sum(sizes)} samples, got {_shape(output)}, which "
            "can't be divided among the micro-batches"
        )
    # Copies: views of one output can't be changed in place, as an activation behind the layer may do.
    parts: Any = torch.split_with_sizes_copy(output, sizes)
    return parts


def _joined(name: str, values: list[Any]) -> Any:
    first = values[0]
    if not isinstance(first, Tensor) or first.dim() == 0:
        if any(value is not first and value != first for value in values):
            raise ModelError(
                f"{name}: micro-batches call it with other arguments: {values}; expected equal ones"
            )
        return first
    if len({(value.shape[1:], value.dtype) for value in values}) > 1:
        raise ShapeError(
            f"{name}: micro-batches call it with tensors of {', '.join(map(_shape, values))}; expected the same but "
            "for the first axis, as in one batch: pad them to one length"
        )
    return torch.cat(values)


def _shape(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def mismatch(places: Sequence[str | None]) -> ModelError:
    """Return the error for micro-batches that do not call the same layers in the same order."""
    groups = Counter("the end" if place is None else place for place in places)
    at = "; ".join(
        f"{place}: micro-batch {', '.join(str(k) for k, other in enumerate(places) if (other or 'the end') == place)}"
        for place in groups
    )
    return ModelError(
        f"micro-batches do not call the BN layers of the model in one order, so that they have no union there. They "
        f"are at {at} (counted from 0). Let no branch of the model depend on the batch, and pad sequences to one length"
    )
