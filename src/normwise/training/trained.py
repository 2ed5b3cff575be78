"""Trained network of a run."""

from pathlib import Path

from torch import nn

from normwise.errors import ArgumentError, DataError, ModelError, RunError
from normwise.files import is_there
from normwise.records import InputSpec, Run, RunConfig
from normwise.training import checkpoint
from normwise.training.run.folder import RunFolder
from normwise.training.train import network_of

#: Most numbers of an input, and most classes of a data set.
_MOST = 10**8


def trained_network(folder: RunFolder, run: Run, input_spec: InputSpec) -> nn.Module:
    """Build the network of a run, with the weights of its checkpoint.

    Args:
        folder: Folder of the run.
        run: Record that :meth:`RunFolder.read` returned.
        input_spec: Format of the inputs, and names of the classes.

    Raises:
        RunError: there is no checkpoint yet, it belongs to another network, the records describe no network, or the
            run is in Keras.
    """
    if run.config.framework == "torch" and not is_there(folder.checkpoint):
        raise RunError(f"{folder.path} has no {folder.checkpoint.name} yet; resume the run first")
    model = described_network(folder.path, run.config, input_spec)
    checkpoint.load(folder.checkpoint, model, None)
    return model


def described_network(path: Path, config: RunConfig, input_spec: InputSpec) -> nn.Module:
    """Build the network that a run's records describe, with its initial weights.

    Args:
        path: Source of the records, for errors.
        config: Configuration of the run.
        input_spec: Format of the inputs, and names of the classes.

    Raises:
        RunError: the records describe no network; or they are of a run in Keras.
    """
    if config.framework == "keras":
        raise RunError(
            f"{path} holds a run in Keras, and this takes one in torch; train without --framework keras"
        )
    check_records(path, config, input_spec)
    try:
        return network_of(config, input_spec)
    except (ArgumentError, DataError, ModelError) as error:
        raise RunError(f"the records in {path} don't describe a network of this version: {error}") from error
    except Exception as error:  # impossible sizes can raise any exception
        raise RunError(
            f"the records in {path} don't describe a network that can be built: {type(error).__name__}: "
            f"{(str(error).splitlines() or [''])[0]}"
        ) from error


def check_records(path: Path, config: RunConfig, input_spec: InputSpec) -> None:
    """Raise RunError unless the records can describe one network."""
    size = 1
    for number in input_spec.shape:
        size *= number
    vocabulary = len(input_spec.vocabulary) if input_spec.task == "text" else None
    faults = {
        f"the task is {config.task} and {input_spec.task}": config.task != input_spec.task,
        f"the shape is {input_spec.shape}": min(input_spec.shape, default=0) < 1 or size > _MOST,
        f"there are {len(input_spec.classes):,} classes": not 1 < len(input_spec.classes) <= _MOST,
        f"the vocabulary has {vocabulary} entries": vocabulary is not None
        and input_spec.shape != (vocabulary,),
        f"the rate is {input_spec.rate}": (input_spec.rate is None) == (input_spec.task == "speech"),
    }
    found = [fault for fault, holds in faults.items() if holds]
    if found:
        raise RunError(f"the records in {path} contradict themselves: {'; '.join(found)}")
