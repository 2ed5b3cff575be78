"""Keras models in files, ``.keras``: read without running code in them, written whole or not at all."""

import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from normwise.cli.inputs.keras.other_files import refuse_other_keras_files
from normwise.cli.terminal import complain
from normwise.errors import ArgumentError, DataError
from normwise.files import is_file, write_whole
from normwise.import_keras import import_keras

KERAS = ".keras"


def load_keras(path: Path) -> Any:
    """Return the model in a file, compiled as it was when it was saved.

    A model that was compiled with a loss, metric or optimiser unknown to Keras is not compiled, and a note says so.
    Without KERAS_BACKEND the model runs on torch, which is always installed.

    Raises:
        ArgumentError: there is no such file.
        DataError: the file is damaged, or needs classes or functions unknown to Keras.
        MissingPackageError: Keras, or its backend, is not installed.
    """
    refuse_other_keras_files(str(path))
    if path.suffix != KERAS:
        raise ArgumentError(f"{path} is not a Keras model: expected a name that ends in {KERAS}")
    if not is_file(path):
        raise ArgumentError(f"there is no file {path}; it is looked for from {Path.cwd()}")
    if "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = import_keras()
    import normwise.keras  # noqa: F401 (its layers are known to Keras once it is imported)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from optimisers, whose saved state no longer matches
            return _compiled_or_not(keras, path)
    except Exception as error:  # a damaged file can raise any exception
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{path} can't be read as a Keras model: {said} Expected a file that model.save has written; load a "
            "model with custom classes or functions in Python, for normwise.port or normwise.keras.diagnose"
        ) from None


def _compiled_or_not(keras: Any, path: Path) -> Any:
    try:
        return keras.saving.load_model(path)
    except Exception as error:  # for a function in the file that Keras does not know
        try:
            model = keras.saving.load_model(path, compile=False)
        except Exception:
            raise error from None  # it is the model itself
    complain(
        f"{path} was compiled with a custom loss, metric or optimizer, which can't be read from the file: the model "
        "is used without them",
        title="note",
    )
    return model


def save_keras(path: Path, model: Any) -> None:
    """Write a model completely, or leave the existing file unchanged.

    Raises:
        RunError: the file can't be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"model{KERAS}")
        model.save(file)
        content = file.read_bytes()
    write_whole(path, content)
