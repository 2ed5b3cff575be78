"""The diagnosis of a Keras model that the command line names."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normwise.cli.inputs.configuration import Configuration
from normwise.cli.inputs.keras.model_file import load_keras
from normwise.cli.inputs.user_code import call_without_arguments, named_object, running
from normwise.doctor import Rule
from normwise.errors import ArgumentError

if TYPE_CHECKING:
    from normwise.keras.doctor import Diagnosis


def keras_diagnosis(
    target: str,
    rules: Sequence[Rule],
    configuration: Configuration,
    *,
    data: str | None,
    loss: str | None,
    refused: Mapping[str, str | None],
    max_batches: int,
) -> "tuple[Any, Diagnosis, tuple[Rule, ...]]":
    """Return a model, its diagnosis, and those of the chosen rules that exist for Keras models.

    Args:
        target: File of the model.
        rules: Chosen rules, of those for torch.
        configuration: Configuration with the severities.
        data: ``file.py:name`` of arrays, batches, or a function that gives either.
        loss: The name of a loss of Keras, or ``file.py:name``.
        refused: Options that are for torch only, with the values that were given.
        max_batches: Number of batches to read.

    Raises:
        NormwiseError: there is no such model, something does not fit, or none of the rules is for Keras models.
    """
    for name, value in refused.items():
        if value is not None:
            raise ArgumentError(f"{name} can't be used with {target}: a Keras model has its own in the file")
    model = load_keras(Path(target))
    from normwise.keras.doctor import all_rules, diagnose

    known = {rule.code for rule in all_rules()}
    chosen = tuple(rule for rule in rules if rule.code in known)
    if not chosen:
        raise ArgumentError(
            f"none of the chosen rules is for Keras models; there are {', '.join(sorted(known))}"
        )
    with running(f"{target} on its data", with_ours=True):
        diagnosis = diagnose(
            model,
            None if data is None else _data(data),
            loss=named_object(loss) if loss is not None and ":" in loss else loss,
            max_batches=max_batches,
            select=[rule.code for rule in chosen],
            severities={code: each for code, each in configuration.severities.items() if code in known},
            name=target,
        )
    return model, diagnosis, chosen


def _data(name: str) -> Any:
    if ":" not in name:
        raise ArgumentError(
            f"--data {name}: for a Keras model, expected file.py:name or package.module:name of arrays, of batches, or "
            "of a function that gives them"
        )
    found = named_object(name)
    is_function = callable(found) and not isinstance(found, Iterable) and not hasattr(found, "shape")
    return call_without_arguments(name, found) if is_function else found
