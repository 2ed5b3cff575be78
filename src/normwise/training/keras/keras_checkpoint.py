"""Everything that a run in Keras needs to resume, in one safetensors file: loading it never runs code."""

from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from normwise.errors import RunError
from normwise.files import is_file, write_whole
from normwise.import_keras import import_keras
from normwise.training.checkpoint import RunProgress, check_names, progress_metadata, progress_of


def save(path: Path, network: Any, optimizer: Any, progress: RunProgress) -> None:
    """Write the checkpoint completely, or keep the existing one."""
    keras = import_keras()
    variables = _model_variables(network) | _optimizer_variables(optimizer)
    # Not ascontiguousarray, which turns a scalar into shape (1,).
    arrays = {
        name: np.array(keras.ops.convert_to_numpy(value), order="C") for name, value in variables.items()
    }
    write_whole(path, safetensors.numpy.save(arrays, progress_metadata(progress)))


def load(path: Path, network: Any, optimizer: Any | None) -> RunProgress:
    """Read a checkpoint into a network and an optimiser of the same run, or leave both unchanged.

    Raises:
        RunError: there is no checkpoint, the file is damaged, or it belongs to another run.
    """
    if not is_file(path):
        raise RunError(f"{path} is not a file; resume the run, which writes it, or delete what is there")
    wanted = _model_variables(network)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            progress = progress_of(file.metadata())
            names = set(file.keys())
            check_names({name for name in names if name.startswith("model.")}, set(wanted))
            if optimizer is not None:
                of_optimizer = _optimizer_variables(optimizer)
                check_names({name for name in names if name.startswith("optimizer.")}, set(of_optimizer))
                wanted |= of_optimizer
            arrays = {name: _array(file, name, variable) for name, variable in wanted.items()}
    except (safetensors.SafetensorError, OSError, ValueError, OverflowError) as error:
        raise RunError(
            f"{path} is damaged or belongs to another network: {error}. Delete it to start the run again"
        ) from None
    for name, variable in wanted.items():
        variable.assign(arrays[name])
    return progress


def _model_variables(network: Any) -> dict[str, Any]:
    """Return weights and statistics, without the seeds of dropout, which follow from the step."""
    return {f"model.{weight.path}": weight for weight in network.weights}


def _optimizer_variables(optimizer: Any) -> dict[str, Any]:
    return {f"optimizer.{variable.path}": variable for variable in optimizer.variables}


def _array(file: Any, name: str, like: Any) -> np.ndarray[Any, Any]:
    # Names and shapes first: the file of another network may have any size.
    shape = tuple(file.get_slice(name).get_shape())
    if shape != tuple(like.shape):
        raise ValueError(f"{name} has the shape {shape}, and the network's has {tuple(like.shape)}")
    array = file.get_tensor(name)
    if array.dtype.kind != ("f" if "float" in str(like.dtype) else "i"):
        raise ValueError(f"{name} is of {array.dtype}, and the network's of {like.dtype}")
    return array
