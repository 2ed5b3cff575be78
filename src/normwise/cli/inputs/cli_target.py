"""Networks and batches that TARGET, ``--model`` and ``--data`` name."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.data import Dataset

from normwise.cli.inputs.keras.other_files import refuse_keras
from normwise.cli.inputs.labelled_batches import LabelledBatches
from normwise.cli.inputs.load_state import load_state
from normwise.cli.inputs.state_file import READABLE, read_state
from normwise.cli.inputs.user_code import call_without_arguments, named_object, running
from normwise.cli.terminal import complain
from normwise.cli.wording import first_few
from normwise.data import NAMED_DATA, ImageData, InOrder, LabelledData, load_data
from normwise.errors import ArgumentError, DataError
from normwise.files import is_folder
from normwise.records import Option, Task
from normwise.statistics import Data, batches_of
from normwise.training import RunFolder, trained_network

#: Samples per batch of the data sets that are known by name.
_BATCH = 100
_TASK_OF: dict[str, Task] = {known.name: known.task for known in NAMED_DATA}
_DATA = f"file.py:name or package.module:name of a loader, {', '.join(_TASK_OF)}, or a folder of images"


@dataclass(frozen=True)
class CliTarget:
    """A network to work on.

    Attributes:
        name: Name of the network as the user gave it.
        model: The network, with the weights of the checkpoint or run if there is one.
        without_statistics: Paths of the BN layers that the checkpoint has no running statistics of.
        data: Data that the run was trained on; None if TARGET is not a run.
        made: Whether the network was made for this command: by a function, for a checkpoint or from a run.
    """

    name: str
    model: nn.Module
    without_statistics: tuple[str, ...] = ()
    data: LabelledData | None = None
    made: bool = True


def load_target(target: str, model: str | None) -> CliTarget:
    """Return the network that TARGET names.

    Args:
        target: ``file.py:name`` or ``package.module:name``, of a model or of a callable that makes one; the folder of
            a run; or a checkpoint.
        model: Network that a checkpoint belongs to, named in the same way.

    Raises:
        NormwiseError: there is no such network, or the checkpoint does not fit it.
    """
    refuse_keras(target)
    path = Path(target)
    is_checkpoint = path.suffix in READABLE
    if model is not None and not is_checkpoint:
        raise ArgumentError(
            f"--model is for checkpoints ({', '.join(READABLE)}), and {target} is none; leave it out"
        )
    if is_folder(path):
        return _run(path)
    if is_checkpoint:
        return _checkpoint(path, model)
    if ":" not in target:
        raise ArgumentError(
            f"{target!r} is no network: expected file.py:name, package.module:name, the folder of a run, or a file "
            f"that ends in {', '.join(READABLE)}"
        )
    network, made = _named_model(target)
    return CliTarget(target, network, made=made)


def with_statistics(target: CliTarget) -> nn.Module:
    """Return the network, or raise DataError if its checkpoint lacks running statistics."""
    if target.without_statistics:
        raise DataError(
            f"{target.name} has no running statistics of {first_few(target.without_statistics)}; compute them first: "
            f"normwise calibrate {target.name} --model ... --data ... -o OUT"
        )
    return target.model


def load_batches(data: str | None, target: CliTarget, *, labelled: bool = False) -> Data:
    """Return the batches that ``--data`` names: of a loader, of a known data set, or of the run itself.

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
        raise ArgumentError(f"--data {data} is no folder and no data set; expected {_DATA}")
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
            f"{data} is {_kind(found)}; expected batches, a loader, or a function that gives one"
        )
    return found


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


def _named_model(name: str) -> tuple[nn.Module, bool]:
    """Return the network that a name refers to, and whether a function made it now."""
    found = named_object(name)
    if isinstance(found, nn.Module):
        return found, False
    if not callable(found):
        raise ArgumentError(
            f"{name} is {_kind(found)}; expected a torch.nn.Module, or a function that makes one"
        )
    model = call_without_arguments(name, found)
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"{name} gives {_kind(model)}; expected it to give a torch.nn.Module")
    return model, True


def _checkpoint(path: Path, model: str | None) -> CliTarget:
    state, others = read_state(path)
    if model is None:
        run = f", or give the folder of the run, {path.parent}" if RunFolder(path.parent).exists else ""
        raise ArgumentError(f"{path} has no network in it: name that by --model file.py:name{run}")
    network, _ = _named_model(model)
    without = load_state(network, state, str(path), model)
    if others:
        complain(f"beside the weights, {path} has {first_few(others)}, which are left out", title="note")
    return CliTarget(str(path), network, without)


def _run(folder: Path) -> CliTarget:
    run = RunFolder(folder)
    record = run.read()
    config = record.config
    data = load_data(config.task, config.data, **config.data_options)
    data = data.subset(config.train_samples, config.test_samples, draw=config.draw)
    return CliTarget(str(folder), trained_network(run, record, data.input_spec), data=data)


def _found(source: str, target: CliTarget) -> LabelledData:
    """Return a data set by its name or folder; it must fit the run's network."""
    own = None if target.data is None else target.data.input_spec
    task: Task = _TASK_OF.get(source, "image" if own is None else own.task)
    options: dict[str, Option] = {}
    if own is not None and own.rate is not None:
        options = {"rate": own.rate, "loudness": own.loudness}
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
            "leave --data out, and the run's own are taken"
        )
    return found


def _batches(data: LabelledData, model: nn.Module, labelled: bool) -> Data:
    """Return the training part in the network's dtype; the caller moves each batch to the network's device."""
    first = _floating(model)
    fitting = data if first is None else data.to(first.dtype)
    if labelled:
        return LabelledBatches(fitting, _BATCH)
    # Images are the first argument whatever the network calls it; lengths are passed by name.
    return (
        fitting.train_images.split(_BATCH)
        if isinstance(fitting, ImageData)
        else InOrder(fitting.training, _BATCH)
    )


def _floating(model: nn.Module) -> Tensor | None:
    """Return the first floating-point tensor of a network: usually all have its dtype and device."""
    tensors = (*model.parameters(), *model.buffers())
    return next((tensor for tensor in tensors if tensor.is_floating_point()), None)


def _kind(value: Any) -> str:
    return f"of type {type(value).__name__}"
