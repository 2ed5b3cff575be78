"""Trained network of a run in Keras."""

from collections.abc import Callable

from torch import Tensor

from normwise.errors import ArgumentError, ModelError, RunError
from normwise.files import is_there
from normwise.import_keras import import_keras
from normwise.records import InputSpec, Run
from normwise.training.keras import keras_checkpoint
from normwise.training.keras.evaluate_in_keras import outputs_of
from normwise.training.keras.run_network import keras_network
from normwise.training.run.folder import RunFolder
from normwise.training.trained import check_records


def trained_outputs(
    folder: RunFolder, run: Run, input_spec: InputSpec
) -> Callable[[dict[str, Tensor]], Tensor]:
    """Build the network of a run, with the weights of its checkpoint, on any backend.

    Returns:
        A function that takes a batch of one, as ``normwise.data.prepared`` makes it, and returns the outputs,
        float64.

    Raises:
        MissingPackageError: Keras, or its backend, is not installed.
        RunError: there is no checkpoint yet, it belongs to another network, or the records describe no network.
    """
    if not is_there(folder.checkpoint):
        raise RunError(f"{folder.path} has no {folder.checkpoint.name} yet; resume the run first")
    check_records(folder.path, run.config, input_spec)
    keras = import_keras()
    try:
        network = keras_network(run.config, input_spec)
    except (ArgumentError, ModelError) as error:
        raise RunError(
            f"the records in {folder.path} don't describe a network of this version: {error}"
        ) from error
    keras_checkpoint.load(folder.checkpoint, network, None)
    network.jit_compile = keras.backend.backend() == "jax"
    return lambda batch: outputs_of(network, batch)[0].double()
