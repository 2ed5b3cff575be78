"""Batches that ``--data`` names: of a loader, or of a data set that is known by name."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.data import Dataset

from normwise.cli.inputs.cli_target import CliTarget
from normwise.cli.inputs.labelled_batches import LabelledBatches
from normwise.cli.inputs.user_code import call_without_arguments, named_object, running
from normwise.data import NAMED_DATA, ImageData, InOrder, LabelledData, load_data
from normwise.errors import ArgumentError, DataError
from normwise.files import is_folder
from normwise.records import Evaluation, Option, Task
from normwise.statistics import Data, batches_of
from normwise.training import evaluate_batches, evaluation_of

#: Samples per batch of the data sets that are known by name.
_BATCH = 100
_TASK_OF: dict[str, Task] = {known.name: known.task for known in NAMED_DATA}
_DATA = f"file.py:name or package.module:name of a loader, {', '.join(_TASK_OF)}, or a folder of images"


def load_batches(data: str | None, target: CliTarget, *, labelled: bool = False) -> Data:
    """Return the batches that ``--data`` names: those of a loader, of a known data set, or of the run itself.

    Args:
        data: ``file.py:name`` or ``package.module:name``, of batches or of a callable that gives them; the name of a
            data set, or a folder of images: then its training images; None for what a run was trained on.
        target: Network that the batches are for.
        labelled: Give the batches of a data set or run with labels, in a random order.

    Raises:
        NormwiseError: there are no batches.
    """
    if data is None:
        if target.data is None:
            raise ArgumentError(f"--data is missing; expected {_DATA}")
        return _batches(target.data, target.model, labelled)
    if data in _TASK_OF or is_folder(Path(data)):
        return _batches(_found(data, target), target.model, labelled)
    if ":" not in data:
        raise ArgumentError(f"--data {data} is neither a folder nor a data set; expected {_DATA}")
    found = named_object(data)
    if callable(found) and not isinstance(found, (Iterable, Dataset, nn.Module)):
        make = found
        found = call_without_arguments(data, make)
        if isinstance(found, Iterator):
            # A generator is read once, but its function can be called again.
            found = _MadeAnew(found, lambda: call_without_arguments(data, make))
    if isinstance(found, Dataset):
        raise ArgumentError(
            f"{data} is a data set, which gives single samples; make batches of them: "
            "torch.utils.data.DataLoader(..., batch_size=100)"
        )
    if isinstance(found, (str, nn.Module)) or not isinstance(found, Iterable):
        raise ArgumentError(
            f"{data} is of type {type(found).__name__}; expected batches, a loader, or a function that gives one"
        )
    return found


def evaluate_target(data: str | None, target: CliTarget) -> Evaluation:
    """Evaluate a network: on the test part of a data set or of the run's own data, or on all batches of a loader.

    Raises:
        NormwiseError: there are no such data, or they have no labels.
    """
    if data is not None and data not in _TASK_OF and not is_folder(Path(data)):
        batches = load_batches(data, target)
        with running(f"{target.name} on its data", with_ours=True):
            return evaluate_batches(target.model, batches)
    found = target.data if data is None else _found(data, target)
    if found is None:
        raise ArgumentError(f"--data is missing; expected {_DATA}")
    samples = _fitting(found, target.model).test
    with running(f"{target.name} on its data", with_ours=True):
        if target.run is not None:
            return evaluation_of(target.model, samples, target.run.config.batch_size)
        pieces = LabelledBatches(samples, _BATCH, is_images=isinstance(found, ImageData))
        return evaluate_batches(target.model, pieces)


def first_batch(data: str | None, target: CliTarget) -> Any:
    """Return the first batch that ``--data`` names, on the network's device.

    Raises:
        NormwiseError: there is no batch.
    """
    batches = load_batches(data, target)
    first = _floating(target.model)
    device = None if first is None else first.device
    name = data or target.name
    with running(name):
        for batch in batches_of(batches):
            return pytree.tree_map_only(Tensor, lambda tensor: tensor.to(device), batch)
    raise DataError(f"{name} has no batches; expected one at least")


class _MadeAnew:
    """Batches that can be read only once, made again by their function for each later pass."""

    def __init__(self, first: Iterator[Any], make: Callable[[], Iterator[Any]]):
        self._first: Iterator[Any] | None = first
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        given, self._first = self._first, None
        return self._make() if given is None else given


def _found(source: str, target: CliTarget) -> LabelledData:
    """Return a data set by its name or folder; the network of a run must take such data."""
    own = None if target.data is None else target.data.input_spec
    task: Task = _TASK_OF.get(source, "image" if own is None else own.task)
    options: dict[str, Option] = {}
    if own is not None and own.rate is not None:
        options = {"rate": own.rate, "loudness": own.loudness}
    if target.run is not None and source not in _TASK_OF and "size" in target.run.config.data_options:
        options = {"size": target.run.config.data_options["size"]}
    found = load_data(task, source, **options)
    other = found.input_spec
    if own is not None and (own.task, own.shape, own.vocabulary) != (
        other.task,
        other.shape,
        other.vocabulary,
    ):
        what = (
            "another vocabulary"
            if own.task == other.task == "text"
            else f"{other.task} of shape {other.shape}"
        )
        raise ArgumentError(
            f"--data {source} has {what}, which {target.name} can't take: expected {own.task} of shape {own.shape}; "
            "leave --data out to use the run's own data"
        )
    return found


def _batches(data: LabelledData, model: nn.Module, labelled: bool) -> Data:
    """Return the training part in the network's dtype; the caller moves each batch to the network's device."""
    fitting = _fitting(data, model)
    if labelled:
        return LabelledBatches(fitting.training, _BATCH, is_images=isinstance(fitting, ImageData))
    # Images are the first argument whatever the network calls it; lengths are passed by name.
    return (
        fitting.train_images.split(_BATCH)
        if isinstance(fitting, ImageData)
        else InOrder(fitting.training, _BATCH)
    )


def _fitting(data: LabelledData, model: nn.Module) -> LabelledData:
    """Return the data in the network's dtype."""
    first = _floating(model)
    return data if first is None else data.to(first.dtype)


def _floating(model: nn.Module) -> Tensor | None:
    """Return the first floating-point tensor of a network: usually all have its dtype and device."""
    tensors = (*model.parameters(), *model.buffers())
    return next((tensor for tensor in tensors if tensor.is_floating_point()), None)
