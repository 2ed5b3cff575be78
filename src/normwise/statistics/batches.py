"""What a user may give as data or as an example, as batches and as arguments of a model."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from normwise.errors import ArgumentError

#: A batch: the input; a tuple or list whose first item is the input; a dict of keyword arguments.
Batch = Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any]
#: Any iterable of batches, or one batch.
Data = Iterable[Any] | Tensor | Mapping[str, Any]


def batches_of(data: Data) -> Iterable[Any]:
    """The batches of ``data``, which may be one batch itself.

    A tensor or a dict is one batch. A list or tuple is one where its first item is a tensor and another item is
    nothing that the same model could take: no tensor, or one with another number of axes, or of integers where the
    first is not. So ``(images, labels)`` is one batch, and ``images.split(32)`` many.
    """
    if isinstance(data, (Tensor, Mapping)):
        return [data]
    if isinstance(data, (list, tuple)):
        return [data] if _is_one(data) else data
    if not isinstance(data, Iterable):
        raise ArgumentError(
            f"expected batches as data, got {type(data).__name__}; pass a tensor, a list of batches or a DataLoader"
        )
    return data


def _is_one(items: list[Any] | tuple[Any, ...]) -> bool:
    if not items or not isinstance(first := items[0], Tensor):
        return False
    return any(
        not isinstance(item, Tensor)
        or item.dim() != first.dim()
        or item.is_floating_point() != first.is_floating_point()
        for item in items[1:]
    )


def arguments_of(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a model is called with for a batch: positional and keyword arguments.

    Raises:
        ArgumentError: an empty list or tuple.
    """
    if isinstance(batch, Mapping):
        return (), dict(batch)
    if isinstance(batch, (tuple, list)):
        if not batch:
            raise ArgumentError("an empty list is no batch; expected the input as its first item")
        return (batch[0],), {}
    return (batch,), {}
