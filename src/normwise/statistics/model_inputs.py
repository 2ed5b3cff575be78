"""Batches: what a user may give as data or as an example, and the arguments of a model that they become."""

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.utils.rnn import PackedSequence
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import Dataset

from normwise.errors import ArgumentError, ModelError

#: A batch: the input; a tuple or list whose first item is the input; a dict of keyword arguments. NumPy's arrays count
#: as tensors.
Batch = Tensor | np.ndarray[Any, Any] | tuple[Any, ...] | list[Any] | Mapping[str, Any]
#: Any iterable of batches, one batch, or a function without arguments that gives the batches anew for each pass.
Data = Iterable[Any] | Tensor | np.ndarray[Any, Any] | Mapping[str, Any] | Callable[[], Iterable[Any]]

_PASS = "pass a tensor, a list of batches or a DataLoader"


def batches_of(data: Data) -> Iterable[Any]:
    """Return the batches of ``data``, which may be one batch itself.

    A tensor, an array or a dict is one batch. A list or tuple is one where its first item is a tensor and another item
    is nothing that the same model could take: no tensor, or one with another number of axes, or of integers where the
    first is not. So ``(images, labels)`` is one batch, and ``images.split(32)`` many. A function, such as a generator
    function, is called once for each pass.

    Raises:
        ArgumentError: no batches, such as a data set, which gives single samples.
    """
    if isinstance(data, (Tensor, np.ndarray, Mapping, PackedSequence)):
        return [data]
    if isinstance(data, (list, tuple)):
        return [data] if _is_one(data) else data
    name = type(data).__name__
    if isinstance(data, Dataset):
        raise ArgumentError(
            f"{name} is a data set, which gives single samples; pass torch.utils.data.DataLoader(dataset, "
            "batch_size=100), or with batch_size=None if it makes batches itself"
        )
    if isinstance(data, (str, bytes, os.PathLike, nn.Module, type)):
        raise ArgumentError(f"expected batches as data, got {name}; {_PASS}")
    if isinstance(data, Iterable):
        return data
    if callable(data):
        return _MadeAnew(data)
    raise ArgumentError(f"expected batches as data, got {name}; {_PASS}")


class _MadeAnew:
    """Batches that a function gives, called once for each pass."""

    def __init__(self, make: Callable[[], Iterable[Any]]):
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        made = self._make()
        if not isinstance(made, Iterable) or isinstance(made, Dataset):
            raise ArgumentError(f"the function that was given as data gives {type(made).__name__}; {_PASS}")
        return iter(batches_of(made))


def _is_one(items: list[Any] | tuple[Any, ...]) -> bool:
    first = _traits(items[0]) if items else None
    return first is not None and any(_traits(item) != first for item in items[1:])


def _traits(item: Any) -> tuple[int, bool] | None:
    """Number of axes, and whether the values are floats; None for what is neither tensor nor array."""
    if isinstance(item, Tensor):
        return item.dim(), item.is_floating_point()
    return (item.ndim, item.dtype.kind == "f") if isinstance(item, np.ndarray) else None


def arguments_of(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and the keyword arguments that a model is called with for a batch.

    NumPy's arrays become tensors, those of float64 in torch's default type, as Python's floats do.

    Raises:
        ArgumentError: an empty list or tuple, keys that are no strings, or what is no batch: a loader, for instance.
    """
    if isinstance(batch, Mapping):
        wrong = next((key for key in batch if not isinstance(key, str)), None)
        if wrong is not None:
            raise ArgumentError(
                f"a dict is a batch whose keys are the names of arguments, and {wrong!r} is no name; pass "
                '{"input": tensor}, or the tensor itself'
            )
        return (), {key: _tensor(value) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)) and not isinstance(batch, PackedSequence):
        if not batch:
            raise ArgumentError("an empty list is no batch; expected the input as its first item")
        return (_tensor(batch[0]),), {}
    if _is_no_batch(batch):
        # Others than these go to the model as they are: graphs, nested tensors, classes of the user's.
        advice = "; pass one batch: next(iter(loader))" if isinstance(batch, (Iterable, Dataset)) else ""
        raise ArgumentError(
            f"expected one batch (a tensor, an array, a tuple or list that begins with one, or a dict of arguments), "
            f"got {type(batch).__name__}{advice}"
        )
    return (_tensor(batch),), {}


def _is_no_batch(value: Any) -> bool:
    if isinstance(value, (Tensor, np.ndarray, PackedSequence)):
        return False
    if value is None or isinstance(value, (str, bytes, int, float, os.PathLike, Dataset, nn.Module, type)):
        return True
    # Batches of other libraries may be iterable, too, but can be moved to a device.
    return inspect.isroutine(value) or (isinstance(value, Iterable) and not hasattr(value, "to"))


def _tensor(value: Any) -> Any:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        return value
    # A copy: arrays may be read only, of another byte order, or have negative strides.
    native = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
    return torch.from_numpy(native).to(torch.get_default_dtype() if value.dtype == np.float64 else None)


def accepted_arguments(
    model: nn.Module, arguments: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return those keyword arguments that the model's forward has, and the names of the others.

    A forward with ``**kwargs`` has all. The batches of a loader may hold what only the loss needs, such as ``labels``.

    Raises:
        ModelError: forward has none of them.
    """
    try:
        parameters = inspect.signature(unwrapped(model).forward).parameters
    except (TypeError, ValueError):
        return dict(arguments), ()
    kinds = inspect.Parameter
    if any(parameter.kind is kinds.VAR_KEYWORD for parameter in parameters.values()):
        return dict(arguments), ()
    names = [
        name
        for name, parameter in parameters.items()
        if parameter.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
    ]
    taken = {name: value for name, value in arguments.items() if name in names}
    if arguments and not taken:
        raise ModelError(
            f"the batch has the keys {', '.join(map(repr, arguments))}, and forward takes {', '.join(names) or 'none'}"
            "; name them as forward does, or pass the input alone"
        )
    return taken, tuple(name for name in arguments if name not in names)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model that the wrappers of torch wrap: compiled, parallel, averaged."""
    while True:
        if isinstance(model, (DataParallel, DistributedDataParallel, AveragedModel)):
            model = model.module
        elif isinstance(original := model._modules.get("_orig_mod"), nn.Module):
            model = original
        else:
            return model
