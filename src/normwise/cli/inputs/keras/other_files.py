"""Errors for files of Keras and TensorFlow in other formats, with the way to convert each."""

from pathlib import Path

from normwise.errors import ArgumentError
from normwise.files import is_file, is_folder

_OLD = (".h5", ".hdf5")


def refuse_other_keras_files(name: str) -> None:
    """Raise ArgumentError if a name is a file or folder of Keras in another format than ``.keras``."""
    path = Path(name)
    saved = f"{path.name.partition('.')[0]}.keras"
    if name.endswith(".weights.h5"):
        raise ArgumentError(
            f"{name} has the weights of a Keras model without its layers. In Python, build the model, "
            f"model.load_weights({path.name!r}), then model.save({saved!r}), and name that file"
        )
    if path.suffix in _OLD and not is_folder(path):
        raise ArgumentError(
            f"{name} has a format of older releases of Keras; expected .keras. In Python, "
            f"keras.saving.load_model({path.name!r}).save({saved!r}), and name that file"
        )
    if is_folder(path) and is_file(path / "saved_model.pb"):
        raise ArgumentError(
            f"{name} is a SavedModel, which has a program and not the layers of a model. Where you have the Keras "
            f"model, call model.save({saved!r}), and name that file"
        )


def refuse_keras(name: str) -> None:
    """Raise ArgumentError if a name is a Keras model, in a command that takes networks of torch."""
    if name.endswith(".keras") and not is_folder(Path(name)):
        raise ArgumentError(
            f"{name} is a Keras model, and this command takes networks of torch. normwise doctor and normwise port "
            "take it; in Python normwise.keras has calibrate, fold and freeze"
        )
    refuse_other_keras_files(name)
