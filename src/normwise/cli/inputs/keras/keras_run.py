"""Runs in Keras as the target of ``normwise evaluate``."""

from pathlib import Path

from normwise.cli.inputs.cli_target import data_of_run
from normwise.cli.inputs.target_data import is_named, named_data
from normwise.errors import ArgumentError
from normwise.records import Evaluation
from normwise.training import RunFolder


def is_keras_run(target: str) -> bool:
    """Return whether TARGET is the folder of a run in Keras."""
    folder = RunFolder(Path(target))
    return folder.exists and folder.read().config.framework == "keras"


def evaluate_keras_run(target: str, model: str | None, weights: str | None, data: str | None) -> Evaluation:
    """Evaluate a run in Keras on the test part of its own data, or of those that ``--data`` names.

    Raises:
        NormwiseError: the run has no checkpoint yet, there are no such data, or Keras is not installed.
    """
    for option, value in (("--model", model), ("--weights", weights)):
        if value is not None:
            raise ArgumentError(
                f"{option} is for checkpoints, and {target} is the folder of a run; leave it out"
            )
    folder = RunFolder(Path(target))
    run, input_spec = folder.read(), folder.input_spec()
    if data is not None and not is_named(data):
        raise ArgumentError(
            f"{target} holds a run in Keras, and --data {data} is no data set that is known by name and no folder; "
            "give one of these, or leave --data out"
        )
    found = data_of_run(run.config) if data is None else named_data(data, target, input_spec, run.config)
    from normwise.training.keras import evaluate_run

    return evaluate_run(folder, run, input_spec, found.test)
