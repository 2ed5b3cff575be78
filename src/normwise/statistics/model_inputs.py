"""Batches in the user's data and examples, and the model arguments that they become."""

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

#: A batch: the input, a tuple or list whose first item is the input, or a dict of keyword arguments. NumPy
#: arrays count as tensors.
Batch = Tensor | np.ndarray[Any, Any] | tuple[Any, ...] | list[Any] | Mapping[str, Any]
#: An iterable of batches, one batch, or a function without arguments that returns the batches for each pass.
Data = Iterable[Any] | Tensor | np.ndarray[Any, Any] | Mapping[str, Any] | Callable[[], Iterable[Any]]

_PASS = "pass a tensor, a list of batches or a DataLoader"


def batches_of(data: Data) -> Iterable[Any]:
    """Return the batches of ``data``, which may be one batch itself.

    A tensor, an array or a dict is one batch. A list or tuple is one batch if its first item is a tensor and
    another item could not be an input of the same model: it is not a tensor, has another number of axes, or has
    integers while the first has floats. So ``(images, labels)`` is one batch, and ``images.split(32)`` is several.
    A function, such as a generator function, is called once for each pass.

    Raises:
        ArgumentError: ``data`` has no batches, like a data set, which yields single samples.
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
    """Batches from a function that is called once for each pass."""

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
    """Return the number of axes, and whether the values are floats; None if ``item`` is neither tensor nor array."""
    if isinstance(item, Tensor):
        return item.dim(), item.is_floating_point()
    return (item.ndim, item.dtype.kind == "f") if isinstance(item, np.ndarray) else None


def arguments_of(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and keyword arguments of the model for a batch.

    NumPy arrays become tensors; float64 arrays get torch's default dtype, as Python floats do.

    Raises:
        ArgumentError: the batch is an empty list or tuple, has keys that are not strings, or is not a batch, like a
            loader.
    """
    if isinstance(batch, Mapping):
        wrong = next((key for key in batch if not isinstance(key, str)), None)
        if wrong is not None:
            raise ArgumentError(
                f"a dict is a batch whose keys are the names of arguments, and {wrong!r} is not a name; pass "
                '{"input": tensor}, or the tensor itself'
            )
        return (), {key: _tensor(value) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)) and not isinstance(batch, PackedSequence):
        if not batch:
            raise ArgumentError("an empty list is not a batch; expected the input as its first item")
        return (_tensor(batch[0]),), {}
    if _is_no_batch(batch):
        # All other objects are passed to the model unchanged: graphs, nested tensors, the user's classes.
        raise ArgumentError(
            f"expected one batch (a tensor, an array, a tuple or list that begins with one, or a dict of arguments), "
            f"got {type(batch).__name__}{_advice(batch)}"
        )
    return (_tensor(batch),), {}


def arguments_for(model: nn.Module, batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return :func:`arguments_of` a batch without the keys that the model's forward does not have.

    Raises:
        ArgumentError: as :func:`arguments_of` does.
        ModelError: forward has none of the keys.
    """
    args, kwargs = arguments_of(batch)
    return args, accepted_arguments(model, kwargs)[0] if kwargs else kwargs


def _advice(value: Any) -> str:
    """Return how to get a batch out of something that holds or makes batches or samples; empty for other things."""
    if isinstance(value, Dataset):
        return ", a data set; pass one batch: next(iter(DataLoader(dataset, batch_size=32)))"
    if inspect.isgeneratorfunction(value):
        return f"; pass one batch: next({value.__name__}())"
    if inspect.isroutine(value):
        return f"; pass one batch: next(iter({value.__name__}())), if it makes batches"
    if isinstance(value, Iterator):
        return "; pass one batch: next(batches)"
    if isinstance(value, Iterable):
        return "; pass one batch: next(iter(loader))"
    return ""


def _is_no_batch(value: Any) -> bool:
    if isinstance(value, (Tensor, np.ndarray, PackedSequence)):
        return False
    if value is None or isinstance(value, (str, bytes, int, float, os.PathLike, Dataset, nn.Module, type)):
        return True
    # Batches of other libraries may also be iterable, but have a method that moves them to a device.
    return inspect.isroutine(value) or (isinstance(value, Iterable) and not hasattr(value, "to"))


def _tensor(value: Any) -> Any:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        return value
    # A copy: arrays may be read-only, have another byte order, or negative strides.
    native = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
    return torch.from_numpy(native).to(torch.get_default_dtype() if value.dtype == np.float64 else None)


def accepted_arguments(
    model: nn.Module, arguments: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the keyword arguments that the model's forward accepts, and the names of the others.

    A forward with ``**kwargs`` accepts all. A loader's batches may have entries for the loss only, such as
    ``labels``.

    Raises:
        ModelError: forward accepts none of them.
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
    """Return the model within torch's wrappers for compiled, parallel and averaged models."""
    while True:
        if isinstance(model, (DataParallel, DistributedDataParallel, AveragedModel)):
            model = model.module
        elif isinstance(original := model._modules.get("_orig_mod"), nn.Module):
            model = original
        else:
            return model
