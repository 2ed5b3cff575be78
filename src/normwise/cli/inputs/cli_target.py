"""Networks that TARGET and ``--model`` name."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from normwise.cli.inputs.keras.other_files import refuse_keras
from normwise.cli.inputs.load_state import load_state
from normwise.cli.inputs.state_file import READABLE, SAFETENSORS, other_weights, read_state
from normwise.cli.inputs.user_code import call_without_arguments, named_object
from normwise.cli.terminal import complain
from normwise.cli.wording import first_few
from normwise.data import LabelledData, load_data
from normwise.errors import ArgumentError, DataError
from normwise.files import is_folder
from normwise.records import RunConfig
from normwise.training import (
    RunFolder,
    RunNetwork,
    network_of_weights,
    read_run_network,
    run_metadata,
    trained_network,
)


@dataclass(frozen=True)
class CliTarget:
    """A network to work on.

    Attributes:
        name: Name of the network as the user gave it.
        model: The network, with the weights of the checkpoint or run if there is one.
        without_statistics: Paths of the BN layers that the checkpoint has no running statistics of.
        data: Data that the run was trained on; None if TARGET is not a run.
        run: Parts from which the network of the run is built; None if TARGET is not a run.
        made: Whether the network was made for this command: by a function, for a checkpoint or from a run.
    """

    name: str
    model: nn.Module
    without_statistics: tuple[str, ...] = ()
    data: LabelledData | None = None
    run: RunNetwork | None = None
    made: bool = True


def load_target(target: str, model: str | None, weights: str | None = None) -> CliTarget:
    """Return the network that TARGET names.

    Args:
        target: ``file.py:name`` or ``package.module:name``, of a model or of a callable that makes one; the folder of
            a run; or a checkpoint.
        model: Network that a checkpoint belongs to, named in the same way; not needed if the checkpoint knows its run.
        weights: Name of the weights to take of a checkpoint that has several, see :func:`read_state`.

    Raises:
        NormwiseError: there is no such network, or the checkpoint does not fit it.
    """
    refuse_keras(target)
    path = Path(target)
    is_checkpoint = path.suffix in READABLE
    if model is not None and not is_checkpoint:
        raise ArgumentError(
            f"--model is for checkpoints ({', '.join(READABLE)}), and {target} is not one; leave it out"
        )
    if weights is not None and (is_folder(path) or not is_checkpoint):
        raise ArgumentError(
            f"--weights is for checkpoints that have several, and {target} is not one; leave it out"
        )
    if is_folder(path):
        return _run(path)
    if is_checkpoint:
        return _checkpoint(path, model, weights)
    if ":" not in target:
        raise ArgumentError(
            f"{target!r} is not a network: expected file.py:name, package.module:name, the folder of a run, or a file "
            f"that ends in {', '.join(READABLE)}"
        )
    network, made = _named_model(target)
    return CliTarget(target, network, made=made)


def metadata_of(target: str) -> dict[str, str]:
    """Return the metadata that name the run in a file of TARGET's weights; none if TARGET is not a run's folder."""
    folder = RunFolder(Path(target))
    if not folder.exists:
        return {}
    return run_metadata(RunNetwork(folder.read().config, folder.input_spec()))


def with_statistics(target: CliTarget) -> nn.Module:
    """Return the network, or raise DataError if its checkpoint lacks running statistics."""
    if target.without_statistics:
        raise DataError(
            f"{target.name} has no running statistics of {first_few(target.without_statistics)}; compute them first: "
            f"normwise calibrate {target.name} --model ... --data ... -o OUT"
        )
    return target.model


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


def _checkpoint(path: Path, model: str | None, weights: str | None) -> CliTarget:
    state, others = read_state(path, weights)
    if model is None:
        if path.suffix == SAFETENSORS and (described := read_run_network(path)) is not None:
            return CliTarget(
                str(path), network_of_weights(path)[1], data=_data_of(described.config), run=described
            )
        run = f", or give the folder of the run, {path.parent}" if RunFolder(path.parent).exists else ""
        raise ArgumentError(
            f"{path} contains no network: name it by --model file.py:name, or --model RUN{run}"
        )
    if is_folder(Path(model)):
        target = replace(_run(Path(model)), name=str(path))
    else:
        target = CliTarget(str(path), _named_model(model)[0])
    without = load_state(target.model, state, str(path), model)
    if others:
        choice = "".join(f"; --weights {name} takes these" for name in other_weights(others)[:1])
        complain(
            f"besides the weights, {path} has {first_few(others)}, which are left out{choice}", title="note"
        )
    return replace(target, without_statistics=without)


def _run(folder: Path) -> CliTarget:
    run = RunFolder(folder)
    record = run.read()
    data = _data_of(record.config)
    described = RunNetwork(record.config, data.input_spec)
    return CliTarget(str(folder), trained_network(run, record, data.input_spec), data=data, run=described)


def _data_of(config: RunConfig) -> LabelledData:
    data = load_data(config.task, config.data, **config.data_options)
    return data.subset(config.train_samples, config.test_samples, draw=config.draw)


def _kind(value: Any) -> str:
    return f"of type {type(value).__name__}"
